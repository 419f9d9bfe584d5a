package blaze_test

import (
	"errors"
	"fmt"

	"github.com/activeblaze/blaze"
)

func ExampleMessage() {
	m := blaze.NewMessage().
		Set("symbol", blaze.StringValue("ACME")).
		Set("bid", blaze.Float64Value(99.5)).
		Set("size", blaze.Int16Value(700))

	for key, v := range m.All() { // in key order
		fmt.Println(key, v.Kind(), v)
	}

	size, _ := m.Get("size")
	wide, err := size.Int64() // widens without loss
	fmt.Println(wide, err)
	_, err = size.Text() // and no further
	fmt.Println(errors.Is(err, blaze.ErrKind), err)

	// Output:
	// bid float64 99.5
	// size int16 700
	// symbol string ACME
	// 700 <nil>
	// true blaze: wrong kind: a value of kind int16 cannot be read as string
}

func ExampleMessage_MarshalBinary() {
	m := blaze.NewTextMessage("hello").Set("n", blaze.Int32Value(-1))
	b, err := m.MarshalBinary() // protobuf: any language can read it
	fmt.Printf("% x %v\n", b, err)

	var back blaze.Message
	fmt.Println(back.UnmarshalBinary(b), back.Equal(m), &back)

	// Output:
	// 0a 07 0a 01 6e 12 02 30 01 12 05 68 65 6c 6c 6f <nil>
	// <nil> true {n:-1} "hello"
}

func ExampleValueOf() {
	for _, x := range []any{uint8(200), 7, "text", []byte{1, 2}} {
		v, err := blaze.ValueOf(x)
		fmt.Println(v.Kind(), v, err)
	}
	_, err := blaze.ValueOf(make(chan int))
	fmt.Println(err)

	// Output:
	// int16 200 <nil>
	// int64 7 <nil>
	// string text <nil>
	// bytes 0x0102 <nil>
	// blaze: wrong kind: chan int has no kind of value
}

func ExampleParseURI() {
	u, err := blaze.ParseURI("udp://239.255.66.76:6676?interface=eth0&ttl=1&dscp=46")
	fmt.Println(u.Group, u.Interface, u.DSCP, err)
	fmt.Println(u)

	_, err = blaze.ParseURI("udp://239.255.66.76:6676?ttl=300")
	fmt.Println(err)

	// Output:
	// 239.255.66.76:6676 eth0 46 <nil>
	// udp://239.255.66.76:6676?interface=eth0&dscp=46
	// blaze: bad configuration: BroadcastURI: ttl = "300": must be a whole number from 1 to 255
}

func ExampleConfig_Validate() {
	cfg := blaze.Config{Window: 1 << 20, MaxMessageSize: 1 << 20}
	fmt.Println(cfg.Validate())

	// Output:
	// blaze: bad configuration: MaxMessageSize = 1048576: must be 1 to 524288 bytes, half of Window (1048576), which may be raised
}
