// Package jmstest has the tests of held queues that need real processes: holders and clients that are killed, stopped and
// continued, and whose network is split. Each process writes what it does into a journal, which outlives it; the test judges
// all journals together. Where network namespaces are missing the processes share loopback, and nothing is split. The tests
// run with scripts/rig-test.sh jms.
package jmstest
