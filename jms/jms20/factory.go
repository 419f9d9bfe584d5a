package jms20

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ibm-messaging/mq-golang-jms20/jms20subset"
	"github.com/ibm-messaging/mq-golang/v5/ibmmq"

	"github.com/activeblaze/blaze/jms"
)

// Values of ConnectionFactory's fields, as IBM's package mqjms has them.
const (
	TransportType_CLIENT   int = 0
	TransportType_BINDINGS int = 1

	TLSClientAuth_NONE     string = "NONE"
	TLSClientAuth_REQUIRED string = "REQUIRED"
)

// ConnectionFactory makes contexts. NewConnectionFactory makes one; it is used as a value, and copies share their channel.
// It has the fields of IBM's ConnectionFactoryImpl, so that programs that set them compile.
type ConnectionFactory struct {
	QMName      string // no meaning, as the next five
	Hostname    string
	PortNumber  int
	ChannelName string

	UserName string // must be empty: nobody could check it (MQRC_NOT_AUTHORIZED)
	Password string // likewise

	TransportType int

	TLSCipherSpec    string // must be empty, as the next three: what they promise is not done
	TLSClientAuth    string // or TLSClientAuth_NONE
	KeyRepository    string
	CertificateLabel string

	ApplName          string // JMSXAppID of what is sent
	ReceiveBufferSize int    // no meaning: a receive buffer grows

	// SendCheckCount is how many sends to a queue with PutAsyncAllowed pass between two checks for failures; 0: none.
	SendCheckCount int

	factory *jms.ConnectionFactory
}

// ConnectionFactoryImpl is IBM's name of it.
type ConnectionFactoryImpl = ConnectionFactory

var _ jms20subset.ConnectionFactory = ConnectionFactory{}

// NewConnectionFactory makes a factory from a URL, as jms.Open has it.
func NewConnectionFactory(url string) (ConnectionFactory, error) {
	f, err := jms.Open(url)
	if err != nil {
		return ConnectionFactory{}, err
	}
	return ConnectionFactory{factory: f}, nil
}

// CreateContext makes a context that acknowledges by itself.
func (cf ConnectionFactory) CreateContext(opts ...jms20subset.MQOptions) (jms20subset.JMSContext, jms20subset.JMSException) {
	return cf.CreateContextWithSessionMode(jms20subset.JMSContextAUTOACKNOWLEDGE, opts...)
}

// CreateContextWithSessionMode makes a context that acknowledges by itself, or a transacted one; another mode is
// MQRC_OPTIONS_ERROR. Where no holder is found, and this process does not become one, it is MQRC_Q_MGR_NOT_AVAILABLE.
func (cf ConnectionFactory) CreateContextWithSessionMode(mode int, opts ...jms20subset.MQOptions) (jms20subset.JMSContext, jms20subset.JMSException) {
	cno := ibmmq.NewMQCNO()
	cno.ClientConn = ibmmq.NewMQCD()
	cno.ApplName = cf.ApplName
	standard := cno.ClientConn.MaxMsgLength
	for _, opt := range opts {
		if opt != nil {
			opt(cno)
		}
	}
	switch {
	case cf.UserName != "" || cf.Password != "":
		return nil, notAuthorized.with(jms.ErrNotAuthorized)
	case cf.TLSCipherSpec != "" || cf.TLSClientAuth != "" && cf.TLSClientAuth != TLSClientAuth_NONE || cf.KeyRepository != "" || cf.CertificateLabel != "":
		return nil, noTLS.with(errors.New("jms20: the factory asks for TLS, which Blaze does not do"))
	case cf.factory == nil:
		return nil, notAvailable.with(errors.New("jms20: the factory was not made by NewConnectionFactory"))
	}
	c := &session{appl: cf.ApplName, check: cf.SendCheckCount}
	if cno.ClientConn != nil && cno.ClientConn.MaxMsgLength != standard {
		c.longest = int(cno.ClientConn.MaxMsgLength)
	}
	var ack jms.AckMode
	switch mode {
	case jms20subset.JMSContextAUTOACKNOWLEDGE:
		if ack = jms.AutoAcknowledge; c.longest > 0 {
			ack = jms.ClientAcknowledge // what is too long stays in its queue
		}
	case jms20subset.JMSContextSESSIONTRANSACTED:
		ack, c.transacted = jms.Transacted, true
	default:
		return nil, options.with(fmt.Errorf("jms20: session mode %d", mode))
	}
	var err error
	if c.c, err = cf.factory.CreateContext(ack); err != nil {
		return nil, exception(err)
	}
	// A queue manager that is not there shows now, and not with the first message.
	ctx, cancel := context.WithTimeout(context.Background(), connectWait)
	defer cancel()
	if err := c.c.ConnectHolders(ctx); err != nil {
		_ = c.c.Close()
		return nil, exception(err)
	}
	return c, nil
}

// connectWait is how long CreateContext waits for a holder, or to become one.
const connectWait = 30 * time.Second

// Unwrap returns the jms.Context that a context of this package stands for; nil for another implementation's.
func Unwrap(c jms20subset.JMSContext) *jms.Context {
	if s, ok := c.(*session); ok {
		return s.c
	}
	return nil
}

// session is a JMSContext.
type session struct {
	c          *jms.Context
	appl       string
	check      int // SendCheckCount
	longest    int // bytes of a message's body that is received; 0: any
	transacted bool

	mu     sync.Mutex
	closed bool
	async  async
}

var errClosed = errors.New("jms20: the context is closed")

func (s *session) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// failed is err as an exception; of a closed context it is MQRC_HCONN_ERROR.
func (s *session) failed(err error) jms20subset.JMSException {
	if err != nil && s.isClosed() {
		return noConnection.with(err)
	}
	return exception(err)
}

// CreateProducer implements JMSContext: DeliveryMode_PERSISTENT, priority 4, no expiry.
func (s *session) CreateProducer() jms20subset.JMSProducer {
	return &producer{s: s, p: s.c.Producer().SetNoWait(true)}
}

// CreateQueue implements JMSContext. It checks nothing: a name that is none shows in the first use.
func (s *session) CreateQueue(name string) jms20subset.Queue {
	return queue{name, jms20subset.Destination_PUT_ASYNC_ALLOWED_AS_DEST}
}

// CreateConsumer implements JMSContext.
func (s *session) CreateConsumer(d jms20subset.Destination) (jms20subset.JMSConsumer, jms20subset.JMSException) {
	return s.CreateConsumerWithSelector(d, "")
}

// CreateConsumerWithSelector implements JMSContext, with the whole grammar of selectors. A message id may have "ID:" or
// not. An empty id is refused.
func (s *session) CreateConsumerWithSelector(d jms20subset.Destination, selector string) (jms20subset.JMSConsumer, jms20subset.JMSException) {
	q, err := s.queue(d)
	if err != nil {
		return nil, s.failed(err)
	}
	text, err := selectorOf(selector)
	if err != nil {
		return nil, badSelector.with(err)
	}
	k, err := s.c.Consumer(q, jms.Selector(text))
	if err != nil {
		return nil, s.failed(err)
	}
	return &consumer{s: s, k: k}, nil
}

// CreateBrowser implements JMSContext.
func (s *session) CreateBrowser(d jms20subset.Destination) (jms20subset.QueueBrowser, jms20subset.JMSException) {
	q, err := s.queue(d)
	if err != nil {
		return nil, s.failed(err)
	}
	b, err := s.c.Browser(q)
	if err != nil {
		return nil, s.failed(err)
	}
	return &browser{s: s, b: b}, nil
}

// CreateTextMessage implements JMSContext: the text is nil.
func (s *session) CreateTextMessage() jms20subset.TextMessage {
	m := jms.NewTextMessage("")
	m.ClearBody()
	return &textMessage{message{m: m, s: s}}
}

// CreateTextMessageWithString implements JMSContext.
func (s *session) CreateTextMessageWithString(text string) jms20subset.TextMessage {
	return &textMessage{message{m: jms.NewTextMessage(text), s: s}}
}

// CreateBytesMessage implements JMSContext.
func (s *session) CreateBytesMessage() jms20subset.BytesMessage {
	return s.CreateBytesMessageWithBytes(nil)
}

// CreateBytesMessageWithBytes implements JMSContext.
func (s *session) CreateBytesMessageWithBytes(b []byte) jms20subset.BytesMessage {
	return &bytesMessage{message{m: jms.NewBytesMessage(b), s: s}}
}

// Commit implements JMSContext. After asynchronous puts of persistent messages that failed it rolls back:
// MQRC_BACKED_OUT. Without a transaction it does nothing.
func (s *session) Commit() jms20subset.JMSException {
	if s.isClosed() {
		return noConnection.with(errClosed)
	}
	if !s.transacted {
		return nil
	}
	if failure := s.async.collect(true); failure != nil {
		err := s.c.Rollback(context.Background())
		if err != nil {
			return s.failed(err)
		}
		return backedOut.with(failure)
	}
	ctx, cancel := context.WithTimeout(context.Background(), connectWait)
	defer cancel()
	return s.failed(s.c.Commit(ctx))
}

// Rollback implements JMSContext. Without a transaction it does nothing.
func (s *session) Rollback() jms20subset.JMSException {
	if s.isClosed() {
		return noConnection.with(errClosed)
	}
	if !s.transacted {
		return nil
	}
	s.async.collect(true)
	return s.failed(s.c.Rollback(context.Background()))
}

// Close implements JMSContext: it rolls back, and closes what the context has made.
func (s *session) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	_ = s.c.Close() // IBM's interface has no error
}
