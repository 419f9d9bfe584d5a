// Package fanin lets several engines of one member receive beside each other, each from a queue of
// its own. It decides which engine a frame is for, and transfers what arrived at another one.
//
// Engine 0 sends, runs the ring and receives the member's own messages. The others only receive.
// Each engine has a Branch: a core of its own, and in front of it the rule which engine a frame is
// for. A member with one engine has no Branch.
package fanin
