package wire

// OpKind is what an operation of a cluster does.
type OpKind uint8

// The kinds. Zero is never sent; what is not listed is from newer members.
const (
	OpPut         OpKind = 1
	OpDelete      OpKind = 2
	OpLock        OpKind = 3
	OpUnlock      OpKind = 4
	OpExtend      OpKind = 5
	OpCancel      OpKind = 6
	OpExpire      OpKind = 7
	OpExpireEntry OpKind = 8
	OpRelease     OpKind = 9
	OpReady       OpKind = 10
	OpExit        OpKind = 11
	OpSweep       OpKind = 12
	OpWeight      OpKind = 13
	OpRules       OpKind = 14
)

// Mapped reports whether an operation of this kind is about a key of a map.
func (k OpKind) Mapped() bool { return k >= OpPut && k <= OpRelease }

// ClusterOp is one operation. Which fields it needs, and what they mean there, is its kind's matter: what it
// does not need is zero. The slices are lent with the message.
type ClusterOp struct {
	Kind         OpKind
	Compare      bool   // of a put or delete: Version is the version that the entry must have, 0: that there is none
	HasToken     bool   // of a put or delete: Token is that of the lock's holder
	RemoveOnExit bool   // of a put
	Try          bool   // of a lock
	Keep         bool   // of a lock: it is not orphaned by its holder's exit
	Map          []byte // UTF-8, at most MaxMapName bytes; of the kinds that are Mapped, else nil
	Key          []byte // at most MaxKey bytes
	Value        []byte // at most MaxClusterValue bytes
	Version      uint64 // index of the operation that wrote the entry; of an expiry: that renewed the lock
	Token        uint64
	Request      uint64 // the proposer's number of the call
	TTL, Lease   int64  // ns, 0..MaxTerm
	Expires      int64  // ns since 1970, for information
	Member       MemberID
	Seat         Seat
	Weight       int64
	Rules        uint32
}
