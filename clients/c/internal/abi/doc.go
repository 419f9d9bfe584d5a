// Package abi is the C library without C: handles, codes, settings as texts, what is lent to a caller and what a poll
// hands out. The exports in the folder above are thin: they turn C's types into Go's and call a function of this package.
// So the race detector and ordinary tests see all of it, which they do not see of a c-shared library.
//
// Functions take and return handles as numbers. Every function may be called by any goroutine. A handle that was closed,
// or that names something of another kind, gives ErrHandle.
package abi
