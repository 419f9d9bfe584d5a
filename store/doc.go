// Package store is a ClusterChannel's DataDir: the disk behind cluster.Store (docs/cluster.md, 17), over go.etcd.io/bbolt.
//
// A directory holds two files: blaze.db (records.go says what is in it) and blaze.told (told.go). Open reads and checks
// every record before anything is written, and refuses a directory that has lost what others were told it holds: a seat
// that forgot must not vote. What a crash has torn is a transaction that bbolt does not show, and nobody was told of it.
//
// A Store has a goroutine that writes (writer.go). The engine's thread hands over bytes and never waits for the disk. The
// first write or sync that fails ends the store: nothing is tried again on that file.
//
// Deviations from the design: the file told beside the database, since bbolt goes back to its older meta page without a
// word; pages.go, which reads the file before bbolt does, since bbolt's own check of a damaged file may end the process.
//
// It serves the rest of this module and may change in any version.
package store
