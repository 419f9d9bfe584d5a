// The module's path is that of the module it stands in for: a replacement must have it.
module github.com/ibm-messaging/mq-golang/v5

go 1.26.0
