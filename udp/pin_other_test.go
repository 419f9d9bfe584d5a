//go:build !linux

package udp

func pin() (unpin func()) { return func() {} }
