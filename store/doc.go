// Package store is a ClusterChannel's DataDir: the disk behind cluster.Store (docs/cluster.md, 17).
//
// It serves the rest of this module and may change in any version.
package store
