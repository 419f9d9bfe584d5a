package xdp

import _ "github.com/activeblaze/blaze/xdp/asavie" // the tests of traffic run over both sockets
