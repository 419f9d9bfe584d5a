package jms20

import (
	"context"
	"errors"

	"github.com/ibm-messaging/mq-golang-jms20/jms20subset"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/jms"
)

// Codes and reasons, as programs compare them.
var (
	noConnection    = code{"2018", "MQRC_HCONN_ERROR"}
	noObject        = code{"2019", "MQRC_HOBJ_ERROR"}
	backedOut       = code{"2003", "MQRC_BACKED_OUT"}
	broken          = code{"2009", "MQRC_CONNECTION_BROKEN"}
	dataLength      = code{"2010", "MQRC_DATA_LENGTH_ERROR"}
	tooBig          = code{"2030", "MQRC_MSG_TOO_BIG_FOR_Q"}
	notAuthorized   = code{"2035", "MQRC_NOT_AUTHORIZED"}
	options         = code{"2046", "MQRC_OPTIONS_ERROR"}
	queueFull       = code{"2053", "MQRC_Q_FULL"}
	notAvailable    = code{"2059", "MQRC_Q_MGR_NOT_AVAILABLE"}
	unknownObject   = code{"2085", "MQRC_UNKNOWN_OBJECT_NAME"}
	unexpected      = code{"2195", "MQRC_UNEXPECTED_ERROR"}
	inUse           = code{"2042", "MQRC_OBJECT_IN_USE"}
	propertyName    = code{"2513", "MQRC_PROPERTY_NAME_LENGTH_ERR"}
	nameError       = code{"2442", "MQRC_PROPERTY_NAME_ERROR"}
	interrupted     = code{"2549", "MQRC_CALL_INTERRUPTED"}
	badType         = code{"1055", "MQJMS_E_BAD_TYPE"}
	badSelector     = code{"MQJMS0004", "MQJMS_EXCEPTION_INVALID_SELECTOR"}
	notText         = code{"MQJMS6068", "MQJMS_DIR_MIN_NOTTEXT"}
	notBytes        = code{"MQJMS6068", "MQJMS_DIR_MIN_NOTBYTES"}
	noTLS           = code{"2393", "MQRC_SSL_INITIALIZATION_ERROR"}
	badMessage      = code{"2026", "MQRC_MD_ERROR"}
	asyncPutFailure = "AsyncPutFailure"
)

type code struct{ number, reason string }

// with is an exception with that code.
func (c code) with(err error) jms20subset.JMSException {
	return jms20subset.CreateJMSException(c.reason, c.number, err)
}

// exception is err as IBM's interfaces have it. Its linked error is err: errors.Is works on that.
func exception(err error) jms20subset.JMSException {
	if err == nil {
		return nil
	}
	return codeOf(err).with(err)
}

func codeOf(err error) code {
	for _, row := range []struct {
		is error
		code
	}{
		{jms.ErrInDoubt, interrupted}, {jms.ErrRolledBack, backedOut}, {jms.ErrQueueFull, queueFull}, {blaze.ErrUnknownOutcome, interrupted},
		{jms.ErrNotAuthorized, notAuthorized}, {jms.ErrNotHeld, notAvailable}, {jms.ErrInvalidSelector, badSelector},
		{jms.ErrInvalidDestination, unknownObject}, {jms.ErrMessageFormat, badMessage}, {blaze.ErrTooLarge, tooBig}, {blaze.ErrNoQuorum, broken},
		{blaze.ErrClosed, broken}, {jms.ErrIllegalState, inUse}, {context.DeadlineExceeded, interrupted}, {blaze.ErrUnsupported, options},
	} {
		if errors.Is(err, row.is) {
			return row.code
		}
	}
	return unexpected
}
