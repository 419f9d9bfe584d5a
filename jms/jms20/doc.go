// Package jms20 is IBM's Go interfaces for messaging, github.com/ibm-messaging/mq-golang-jms20/jms20subset, over package
// jms: a program that was written for a queue manager changes the creation of its factory, and runs on Blaze.
//
//	factory, err := jms20.NewConnectionFactory("udp://239.255.66.76:6676?interface=eth0&jms.cluster=desk")
//	context, jmsErr := factory.CreateContext()
//
// docs/jms.md has what differs. Unwrap returns the jms.Context below, with all that IBM's subset lacks: topics,
// listeners, temporary destinations.
//
// IBM's interfaces need package ibmmq for one type. Where no MQ client is installed, a replacement in go.mod stands in for
// it: package ibmmq beside this one.
package jms20
