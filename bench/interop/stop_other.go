//go:build !unix

package main

func (p *process) hold() {}
func (p *process) let()  {}
