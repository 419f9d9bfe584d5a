// Package ibmmq stands in for the package of the same name in github.com/ibm-messaging/mq-golang/v5 where no MQ client is
// installed. That one needs cgo and MQ's headers, and the interfaces of mq-golang-jms20 need it for one type. A program
// that uses those interfaces over Blaze, and has no MQ client, adds to its go.mod
//
//	replace github.com/ibm-messaging/mq-golang/v5 => github.com/activeblaze/blaze/jms/ibmmq/v5 v5.X.Y
//
// It has the names that the interfaces and programs over them use, and connects to nothing. The numbers are those of
// IBM's documentation of MQ.
package ibmmq

// MQCNO are the options of a connection. Of these, Blaze takes ClientConn.MaxMsgLength.
type MQCNO struct {
	Options    int32
	ClientConn *MQCD
	CCDTUrl    string
	ApplName   string
}

// MQCD describes a channel.
type MQCD struct {
	ChannelName          string
	ConnectionName       string
	MaxMsgLength         int32 // bytes; DefaultMaxMsgLength at first
	SharingConversations int32
	HeartbeatInterval    int32
}

// DefaultMaxMsgLength is MaxMsgLength of a new MQCD: 4 MiB.
const DefaultMaxMsgLength = 4 << 20

// NewMQCNO returns options with their defaults.
func NewMQCNO() *MQCNO { return &MQCNO{} }

// NewMQCD returns a description with its defaults.
func NewMQCD() *MQCD { return &MQCD{MaxMsgLength: DefaultMaxMsgLength} }

// Options of a connection.
const (
	MQCNO_NONE               int32 = 0
	MQCNO_CLIENT_BINDING     int32 = 2048
	MQCNO_LOCAL_BINDING      int32 = 4096
	MQCNO_RECONNECT          int32 = 16777216
	MQCNO_RECONNECT_DISABLED int32 = 33554432
)

// Report options of a message. Blaze carries them and makes no reports.
const (
	MQRO_NONE               int32 = 0
	MQRO_PAN                int32 = 1
	MQRO_NAN                int32 = 2
	MQRO_ACTIVITY           int32 = 4
	MQRO_PASS_CORREL_ID     int32 = 64
	MQRO_PASS_MSG_ID        int32 = 128
	MQRO_COA                int32 = 256
	MQRO_COA_WITH_DATA      int32 = 768
	MQRO_COA_WITH_FULL_DATA int32 = 1792
	MQRO_COD                int32 = 2048
	MQRO_COD_WITH_DATA      int32 = 6144
	MQRO_COD_WITH_FULL_DATA int32 = 14336
	MQRO_EXPIRATION         int32 = 2097152
	MQRO_EXCEPTION          int32 = 16777216
	MQRO_DISCARD_MSG        int32 = 134217728
)

// Feedback codes of a message.
const (
	MQFB_NONE       int32 = 0
	MQFB_QUIT       int32 = 256
	MQFB_EXPIRATION int32 = 258
	MQFB_COA        int32 = 259
	MQFB_COD        int32 = 260
	MQFB_PAN        int32 = 275
	MQFB_NAN        int32 = 276
)
