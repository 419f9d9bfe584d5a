// Package clustertest has the tests of clusters that need real processes: members in network namespaces, that are killed,
// stopped and continued, and whose network is split and loses packets. Clients in each member put, compare, delete and read;
// porcupine decides whether what they saw is linearizable. Others take locks and use an outside resource that
// checks tokens. The tests run with scripts/rig-test.sh cluster.
package clustertest
