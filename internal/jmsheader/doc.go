// Package jmsheader is the codec of JmsHeader (wire/blaze.proto): what a message of the JMS-style API has besides its
// body. It is written by hand, without reflection; the same Header always gives the same bytes (fields in order,
// properties in the order of their names). Tests hold it equal to the generated code.
//
// Parse takes what any member may have sent, and judges it: what Parse has returned keeps to the bounds of the schema.
package jmsheader
