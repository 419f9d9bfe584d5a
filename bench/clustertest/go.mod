// Clusters of real processes in test networks, judged by porcupine: a module of its own, so that neither the library nor
// what measures it needs porcupine.
module github.com/activeblaze/blaze/bench/clustertest

go 1.26.0

require (
	github.com/activeblaze/blaze v0.0.0
	github.com/activeblaze/blaze/bench v0.0.0
	github.com/anishathalye/porcupine v1.3.1
)
