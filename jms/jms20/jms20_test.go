package jms20

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ibm-messaging/mq-golang-jms20/jms20subset"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/testnet"
	"github.com/activeblaze/blaze/jms"
)

func factory(t *testing.T, options string) ConnectionFactory {
	t.Helper()
	uri, cluster := testnet.Loopback(t)
	cf, err := NewConnectionFactory(uri + "?jms.role=holder&jms.cluster=" + cluster + options)
	if err != nil {
		t.Fatal(err)
	}
	return cf
}

// Message ids in selectors have "ID:" or not; the rest of the text stays as it is.
func TestSelectors(t *testing.T) {
	for _, row := range []struct{ in, want string }{
		{"", ""},
		{"a = 1", "a = 1"},
		{"JMSMessageID = '0aFF'", "JMSMessageID = 'ID:0aff'"},
		{"JMSMessageID='ID:0a' OR JMSMessageID<>'0b'", "JMSMessageID='ID:0a' OR JMSMessageID<>'ID:0b'"},
		{"a = 'JMSMessageID = ''0a''' AND JMSMessageID = '0a'", "a = 'JMSMessageID = ''0a''' AND JMSMessageID = 'ID:0a'"},
		{"myJMSMessageID = '0a'", "myJMSMessageID = '0a'"},
		{"JMSCorrelationID = '0a'", "JMSCorrelationID = '0a'"},
	} {
		if got, err := selectorOf(row.in); err != nil || got != row.want {
			t.Errorf("%s: %s, %v; want %s", row.in, got, err, row.want)
		}
	}
	for _, bad := range []string{"JMSMessageID = ''", "JMSMessageID = 'ID:'", "JMSCorrelationID = ''", "JMSCorrelationID", " JMSType "} {
		if got, err := selectorOf(bad); err == nil {
			t.Errorf("%s is taken as %s", bad, got)
		}
	}
}

// What a factory promises and Blaze does not do is an error.
func TestFactoryRefuses(t *testing.T) {
	for what, row := range map[string]struct {
		change func(*ConnectionFactory)
		code   string
	}{
		"user":      {func(cf *ConnectionFactory) { cf.UserName = "me" }, "2035"},
		"password":  {func(cf *ConnectionFactory) { cf.Password = "x" }, "2035"},
		"cipher":    {func(cf *ConnectionFactory) { cf.TLSCipherSpec = "ANY_TLS12" }, "2393"},
		"client":    {func(cf *ConnectionFactory) { cf.TLSClientAuth = TLSClientAuth_REQUIRED }, "2393"},
		"keys":      {func(cf *ConnectionFactory) { cf.KeyRepository = "k" }, "2393"},
		"not made":  {func(cf *ConnectionFactory) { *cf = ConnectionFactory{QMName: "QM1"} }, "2059"},
		"no holder": {func(cf *ConnectionFactory) { *cf = clientOnly(t) }, "2059"},
	} {
		cf := factory(t, "")
		row.change(&cf)
		if what == "no holder" && testing.Short() {
			continue // it waits for one
		}
		c, err := cf.CreateContext()
		if c != nil || err == nil || err.GetErrorCode() != row.code {
			t.Errorf("%s: %v, %v; want %s", what, c, err, row.code)
		}
	}
	cf := factory(t, "")
	if _, err := cf.CreateContextWithSessionMode(7); err == nil || err.GetErrorCode() != "2046" {
		t.Errorf("session mode 7: %v", err)
	}
	if _, err := NewConnectionFactory("udp://239.255.66.76:6676?jms.unknown=1"); !errors.Is(err, blaze.ErrConfig) {
		t.Errorf("an unknown option: %v", err)
	}
}

func clientOnly(t *testing.T) ConnectionFactory {
	uri, cluster := testnet.Loopback(t)
	cf, err := NewConnectionFactory(uri + "?jms.role=client&jms.cluster=" + cluster)
	if err != nil {
		t.Fatal(err)
	}
	return cf
}

// A message of another implementation, a nil destination, and what is too long.
func TestSendAndReceive(t *testing.T) {
	cf := factory(t, "")
	cf.ApplName = "desk"
	c, jmsErr := cf.CreateContext()
	if jmsErr != nil {
		t.Fatal(jmsErr)
	}
	defer c.Close()
	q := c.CreateQueue("ORDERS")
	p := c.CreateProducer()
	if err := p.Send(q, struct{ jms20subset.Message }{}); err == nil || err.GetErrorCode() != "2026" {
		t.Errorf("a message of another implementation: %v", err)
	}
	if err := p.SendString(nil, "x"); err == nil || err.GetErrorCode() != "2085" {
		t.Errorf("to nil: %v", err)
	}
	if err := p.SendString(c.CreateQueue(strings.Repeat("x", 256)), "x"); err == nil || err.GetErrorCode() != "2085" {
		t.Errorf("to a name that is none: %v", err)
	}
	m := c.CreateTextMessageWithString("buy 100")
	if err := m.SetJMSReplyTo(c.CreateQueue("ANSWERS")); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"z", "a", "m"} {
		if err := m.SetIntProperty(name, 7); err != nil {
			t.Error(err)
		}
	}
	group := "g"
	if err := m.SetStringProperty("JMSXGroupID", &group); err != nil {
		t.Error(err)
	}
	if err := m.SetIntProperty("a b", 7); err == nil || err.GetErrorCode() != "2442" {
		t.Errorf("a property name that is none: %v", err)
	}
	if err := p.Send(q, m); err != nil {
		t.Fatal(err)
	}
	k, jmsErr := c.CreateConsumer(q)
	if jmsErr != nil {
		t.Fatal(jmsErr)
	}
	got, jmsErr := k.Receive(5000)
	if jmsErr != nil || got == nil {
		t.Fatal(got, jmsErr)
	}
	names, _ := got.GetPropertyNames()
	appl, _ := got.GetStringProperty("JMSXAppID")
	in, _ := got.GetStringProperty("JMSXGroupID")
	if strings.Join(names, " ") != "z a m" || *appl != "desk" || *in != "g" || got.GetJMSReplyTo().GetDestinationName() != "ANSWERS" ||
		got.GetJMSMessageID() != m.GetJMSMessageID() || len(got.GetJMSMessageID()) != 48 {
		t.Errorf("it came with %v, %v, %v, %v, %s", names, *appl, *in, got.GetJMSReplyTo(), got.GetJMSMessageID())
	}
	// The whole API is below.
	below := Unwrap(c)
	topic, err := below.Topic("news")
	if err != nil {
		t.Fatal(err)
	}
	heard, err := below.Consumer(topic)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := below.Producer().SendText(ctx, topic, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := heard.Receive(ctx); err != nil {
		t.Error(err)
	}
	if Unwrap(nil) != nil {
		t.Error("Unwrap of nil")
	}
	c.Close()
	if err := p.SendString(q, "x"); err == nil || err.GetErrorCode() != "2018" || !errors.Is(err.GetLinkedError(), errClosed) {
		t.Errorf("Send after Close: %v", err)
	}
	if errors.Is(exception(jms.ErrInDoubt).GetLinkedError(), jms.ErrInDoubt) == false {
		t.Error("the linked error is not ours")
	}
}
