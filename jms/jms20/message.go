package jms20

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ibm-messaging/mq-golang-jms20/jms20subset"

	"github.com/activeblaze/blaze/jms"
)

// message is what both kinds of messages have in common.
type message struct {
	m     *jms.Message
	s     *session
	order []string // names of user properties, in the order in which they were set
}

// messageOf is a received message. A text whose Format is not MQSTR is bytes.
func messageOf(m *jms.Message, s *session) jms20subset.Message {
	base := message{m: m, s: s}
	if names, ok := m.Hidden(orderName); ok {
		base.order = strings.Split(names.(string), "\n")
	}
	for name := range m.Properties() {
		if _, special := specials[name]; !special && !slices.Contains(base.order, name) {
			base.order = append(base.order, name)
		}
	}
	format, set := m.Hidden("Format")
	if m.Kind() == jms.TextMessage && (!set || format == mqstr) {
		return &textMessage{base}
	}
	return &bytesMessage{base}
}

const (
	orderName = "order" // hidden: names of user properties, in their order, between line feeds
	applName  = "ApplName"
	mqstr     = "MQSTR"
)

// complete adds what travels with the message.
func (m *message) complete(appl string) error {
	_ = m.m.SetHidden(orderName, nil)
	if !slices.IsSorted(m.order) {
		if err := m.m.SetHidden(orderName, strings.Join(m.order, "\n")); err != nil {
			return err
		}
	}
	if appl == "" {
		return m.m.SetHidden(applName, nil)
	}
	return m.m.SetHidden(applName, appl)
}

// GetJMSMessageID implements Message: 48 hexadecimal digits; "" before Send.
func (m *message) GetJMSMessageID() string { return strings.TrimPrefix(m.m.MessageID(), "ID:") }

// GetJMSTimestamp implements Message: ms since 1970.
func (m *message) GetJMSTimestamp() int64 {
	if t := m.m.Timestamp(); !t.IsZero() {
		return t.UnixMilli()
	}
	return 0
}

// GetJMSExpiration implements Message: ms since 1970; 0: it does not expire.
func (m *message) GetJMSExpiration() int64 {
	if t := m.m.Expiration(); !t.IsZero() {
		return t.UnixMilli()
	}
	return 0
}

// SetJMSCorrelationID implements Message: any text, which is kept whole.
func (m *message) SetJMSCorrelationID(id string) jms20subset.JMSException {
	m.m.SetCorrelationID(id)
	return nil
}

// GetJMSCorrelationID implements Message.
func (m *message) GetJMSCorrelationID() string { return m.m.CorrelationID() }

// SetJMSReplyTo implements Message: a queue of any implementation, by its name.
func (m *message) SetJMSReplyTo(d jms20subset.Destination) jms20subset.JMSException {
	q, err := m.s.queue(d)
	if err != nil {
		return exception(err)
	}
	m.m.SetReplyTo(q)
	return nil
}

// GetJMSReplyTo implements Message.
func (m *message) GetJMSReplyTo() jms20subset.Destination {
	d := m.m.ReplyTo()
	if d == nil {
		return nil
	}
	return queue{d.Name(), jms20subset.Destination_PUT_ASYNC_ALLOWED_AS_DEST}
}

// GetJMSDeliveryMode implements Message; 0 before Send.
func (m *message) GetJMSDeliveryMode() int {
	switch {
	case m.m.MessageID() == "":
		return 0
	case m.m.DeliveryMode() == jms.Persistent:
		return jms20subset.DeliveryMode_PERSISTENT
	}
	return jms20subset.DeliveryMode_NON_PERSISTENT
}

// GetJMSPriority implements Message.
func (m *message) GetJMSPriority() int { return m.m.Priority() }

// specials are the names of properties that stand for fields of MQ's message descriptor: those that are set, with the
// name of the hidden property that carries them.
var specials = map[string]string{
	"JMS_IBM_Format": "Format", "JMS_IBM_MQMD_Format": "Format",
	"JMS_IBM_Character_Set": "CodedCharSetId", "JMS_IBM_MQMD_CodedCharSetId": "CodedCharSetId",
	"JMS_IBM_Encoding": "Encoding", "JMS_IBM_MQMD_Encoding": "Encoding",
	"JMS_IBM_MsgType": "MsgType", "JMS_IBM_MQMD_MsgType": "MsgType",
	"JMS_IBM_Feedback": "Feedback", "JMS_IBM_MQMD_Feedback": "Feedback",
	"JMS_IBM_PutApplType": "PutApplType", "JMS_IBM_MQMD_PutApplType": "PutApplType",
	"JMS_IBM_Report_COA": "ReportCOA", "JMS_IBM_Report_COD": "ReportCOD",
	"JMS_IBM_Last_Msg_In_Group":   "LastInGroup",
	"JMS_IBM_MQMD_ApplOriginData": "ApplOriginData",
	"JMSXAppID":                   applName, "JMS_IBM_MQMD_PutApplName": applName,
	"JMSXGroupID": "", "JMSXGroupSeq": "", // properties of their own
}

// set gives a property a value; nil removes it.
func (m *message) set(name string, v any) jms20subset.JMSException {
	if name == "" {
		return propertyName.with(errors.New("jms20: the property has no name"))
	}
	if hidden, special := specials[name]; special && hidden != "" {
		if err := m.m.SetHidden(hidden, v); err != nil {
			return badMessage.with(err)
		}
		return nil
	}
	if v == nil {
		m.m.DeleteProperty(name)
		m.order = slices.DeleteFunc(m.order, func(o string) bool { return o == name })
		return nil
	}
	if err := m.m.SetProperty(name, v); err != nil {
		return nameError.with(err)
	}
	if _, special := specials[name]; !special && !slices.Contains(m.order, name) {
		m.order = append(m.order, name)
	}
	return nil
}

// get is the value of a property; nil: there is none.
func (m *message) get(name string) (any, jms20subset.JMSException) {
	if name == "" {
		return nil, propertyName.with(errors.New("jms20: the property has no name"))
	}
	received := m.m.DeliveryCount() > 0
	switch name {
	case "JMS_IBM_PutDate", "JMS_IBM_MQMD_PutDate":
		if t := m.m.Timestamp(); !t.IsZero() {
			return t.UTC().Format("20060102"), nil
		}
		return nil, nil
	case "JMS_IBM_PutTime", "JMS_IBM_MQMD_PutTime":
		if t := m.m.Timestamp(); !t.IsZero() {
			return t.UTC().Format("150405") + fmt.Sprintf("%02d", t.UnixMilli()%1000/10), nil
		}
		return nil, nil
	}
	if hidden := specials[name]; hidden != "" {
		v, set := m.m.Hidden(hidden)
		if !set && hidden == "Format" && received && m.m.Kind() == jms.TextMessage {
			return mqstr, nil
		}
		return v, nil
	}
	v, _ := m.m.Property(name)
	return v, nil
}

func bad(v any, want string) jms20subset.JMSException {
	return badType.with(fmt.Errorf("%w: %v cannot be read as %s", jms.ErrMessageFormat, v, want))
}

// SetStringProperty implements Message; nil removes the property.
func (m *message) SetStringProperty(name string, value *string) jms20subset.JMSException {
	if value == nil {
		return m.set(name, nil)
	}
	return m.set(name, *value)
}

// GetStringProperty implements Message; nil: there is none.
func (m *message) GetStringProperty(name string) (*string, jms20subset.JMSException) {
	v, err := m.get(name)
	if v == nil || err != nil {
		return nil, err
	}
	var s string
	switch v := v.(type) {
	case string:
		s = v
	case float64:
		s = strconv.FormatFloat(v, 'g', -1, 64)
	case float32:
		s = strconv.FormatFloat(float64(v), 'g', -1, 32)
	default:
		s = fmt.Sprint(v)
	}
	return &s, nil
}

// SetIntProperty implements Message.
func (m *message) SetIntProperty(name string, value int) jms20subset.JMSException {
	return m.set(name, int64(value))
}

// GetIntProperty implements Message: of a double the nearest integer, of true 1; 0: there is none.
func (m *message) GetIntProperty(name string) (int, jms20subset.JMSException) {
	v, err := m.get(name)
	if v == nil || err != nil {
		return 0, err
	}
	switch v := v.(type) {
	case string:
		if i, err := strconv.Atoi(v); err == nil {
			return i, nil
		}
		return 0, bad(v, "an int")
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	}
	if i, ok := integer(v); ok {
		return int(i), nil
	}
	f, _ := float(v)
	if f = math.Round(f); f != f || f < math.MinInt64 || f >= 1<<63 {
		return 0, bad(v, "an int")
	}
	return int(f), nil
}

// SetDoubleProperty implements Message.
func (m *message) SetDoubleProperty(name string, value float64) jms20subset.JMSException {
	return m.set(name, value)
}

// GetDoubleProperty implements Message; 0: there is none.
func (m *message) GetDoubleProperty(name string) (float64, jms20subset.JMSException) {
	v, err := m.get(name)
	if v == nil || err != nil {
		return 0, err
	}
	switch v := v.(type) {
	case string:
		if f, err := strconv.ParseFloat(v, 64); err == nil {
			return f, nil
		}
		return 0, bad(v, "a double")
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	}
	if i, ok := integer(v); ok {
		return float64(i), nil
	}
	f, _ := float(v)
	return f, nil
}

// SetBooleanProperty implements Message.
func (m *message) SetBooleanProperty(name string, value bool) jms20subset.JMSException {
	return m.set(name, value)
}

// GetBooleanProperty implements Message: of a number, whether it is 1; false: there is none.
func (m *message) GetBooleanProperty(name string) (bool, jms20subset.JMSException) {
	v, err := m.get(name)
	if v == nil || err != nil {
		return false, err
	}
	switch v := v.(type) {
	case bool:
		return v, nil
	case string:
		switch v {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return false, bad(v, "a boolean")
	}
	if i, ok := integer(v); ok {
		return i == 1, nil
	}
	f, _ := float(v)
	return f == 1, nil
}

func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int8:
		return int64(v), true
	case int16:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	}
	return 0, false
}

func float(v any) (float64, bool) {
	switch v := v.(type) {
	case float32:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// PropertyExists implements Message: of user properties.
func (m *message) PropertyExists(name string) (bool, jms20subset.JMSException) {
	v, err := m.get(name)
	return v != nil, err
}

// GetPropertyNames implements Message: of user properties, in the order in which they were set.
func (m *message) GetPropertyNames() ([]string, jms20subset.JMSException) {
	return slices.Clone(m.order), nil
}

// ClearProperties implements Message: of user properties.
func (m *message) ClearProperties() jms20subset.JMSException {
	for _, name := range m.order {
		m.m.DeleteProperty(name)
	}
	m.order = nil
	return nil
}

// textMessage is a TextMessage.
type textMessage struct{ message }

// GetText implements TextMessage. A text that is empty arrives as nil.
func (m *textMessage) GetText() *string {
	s, ok := m.m.Body().Text()
	if !ok || s == "" && m.m.DeliveryCount() > 0 {
		return nil
	}
	return &s
}

// SetText implements TextMessage.
func (m *textMessage) SetText(s string) { m.m.Body().SetText(s) }

// bytesMessage is a BytesMessage.
type bytesMessage struct{ message }

// ReadBytes implements BytesMessage. Bytes that were never written read as an empty slice.
func (m *bytesMessage) ReadBytes() *[]byte {
	b := m.body()
	if b == nil {
		b = []byte{}
	}
	return &b
}

// body is the bytes; those of a text, of another program's message its encoding.
func (m *bytesMessage) body() []byte {
	switch m.m.Kind() {
	case jms.BytesMessage:
		b, _ := m.m.Bytes()
		return b
	case jms.TextMessage:
		s, _ := m.m.Text()
		return []byte(s)
	}
	b, _ := m.m.Body().MarshalBinary()
	return b
}

// WriteBytes implements BytesMessage: it replaces what was there.
func (m *bytesMessage) WriteBytes(b []byte) { m.m.Body().SetBytes(b) }

// GetBodyLength implements BytesMessage.
func (m *bytesMessage) GetBodyLength() int { return len(m.body()) }
