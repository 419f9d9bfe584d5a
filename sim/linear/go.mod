// Linearizability of simulated clusters, judged by porcupine: a module of its own, so that neither the library nor an
// application needs porcupine.
module github.com/activeblaze/blaze/sim/linear

go 1.26.0

require (
	github.com/activeblaze/blaze v0.0.0
	github.com/anishathalye/porcupine v1.3.1
)

require (
	github.com/klauspost/cpuid/v2 v2.3.0 // indirect
	github.com/klauspost/reedsolomon v1.14.2 // indirect
	golang.org/x/sys v0.49.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)
