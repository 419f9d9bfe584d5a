// Package local shows a channel's state to programs of the same user on the same host: a Unix socket that answers, and
// beside it a file with the answer of the last second, which can be read when the process hangs or is gone.
//
// Both lie in a directory of the user's own, mode 0700. Names are PID-CHANNEL.sock and PID-CHANNEL.json, where CHANNEL
// counts the channels of the process from 1. A Server removes its own at its end. List removes the sockets of processes
// that ended without that, and files that are a day old.
//
// A client connects, sends the line "inspect", and reads until the server closes: one JSON object.
package local
