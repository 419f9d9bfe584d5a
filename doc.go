// Package blaze is reliable multicast between processes. One process broadcasts on a topic, and all that
// subscribe receive the messages in order, once. Receivers get lost datagrams again, or they can compute
// them from others. A loss that cannot be repaired is reported in its place.
//
// # Quick start
//
//	ch, err := blaze.NewChannel(blaze.Config{}) // the zero Config works, on loopback
//	if err != nil { … }
//	if err := ch.Start(); err != nil { … }
//	defer ch.Shutdown()
//
//	ch.Subscribe("prices.*", func(m *blaze.Message) {
//		text, _ := m.Text()
//		fmt.Println(m.Topic(), text)
//	})
//	ch.Broadcast(ctx, "prices.acme", blaze.NewTextMessage("101.25"))
//
// Config.BroadcastURI names the network: "udp://239.255.66.76:6676?interface=eth0". Without an interface a
// channel stays on loopback: nothing leaves the host unless somebody names an interface. See [URI] for
// the drivers (udp, xdp, auto) and their options.
//
// # Channels
//
// [Channel] carries messages on topics. A topic is a path of elements separated by dots. A subscription's
// pattern may have the wildcards * (one element) and > (at the end: all below). [Config] picks, for all
// topics or for each pattern, how messages are protected:
//
//	NACK        receivers ask for what they miss (the default)
//	BestEffort  nothing is repaired; losses are reported
//	FEC         repair symbols are sent with the data; nobody asks
//	Hybrid      FEC with NACK behind it
//	Totem       all members receive all messages in one order; with Safe, when every member has them
//
// GroupChannel is a Channel whose members know each other: who came and who went, messages to one of them,
// in-boxes, queues, request and reply. [ClusterChannel] is a GroupChannel whose members share state: a [Map] that
// every member holds, a [Lock] of a key with its fencing token, one master. It fails over by itself, and with
// Config.DataDir the state outlives all members at once.
//
// # Life cycle
//
// A channel is Constructed, then Initialized (Init: sockets and memory are there), Started, and Stopped,
// from where it can start again. Shutdown gives everything back. Start includes Init. A transition that is
// already done is no error. Subscriptions outlive Stop and Shutdown and work again after the next Start.
//
// A receiver gets what is sent after it joined: [Publisher.WaitReceivers] waits for receivers. Stop waits,
// at most Config.Linger, until what was accepted has been received; its error says what was not.
//
// # Threads
//
// One thread for each channel polls the network and runs the protocols: the engine. All methods are safe
// for concurrent use. A handler runs on a goroutine of its subscription, one call at a time and in order,
// from a queue of Config.SubscriptionQueue messages. When that is full, Config.SlowConsumer decides: the sender
// waits (Pause), messages are dropped and reported (Drop), or the subscription ends (Disconnect).
//
// # Errors
//
// Errors wrap one of the sentinels below for errors.Is, and name the thing and the value that was refused.
// [Publisher.Offer] never waits: [ErrBackPressure] means that the window is full. [Channel.Broadcast] waits
// until its context ends; the error then wraps ctx.Err(). What a receiver misses for good goes to [OnLoss].
//
// # Two ways to be fast
//
// [Publisher.Offer] and [Channel.SubscribePayload] carry bytes instead of a [Message], and allocate
// nothing. [Inline] runs a handler on the engine's thread, without a queue and a copy.
//
// With Config.Invoker there is no engine thread: the application calls [Channel.Turn] in its own loop, and
// [Publisher.Claim] gives it room in the datagram itself. This is the lowest latency.
//
// docs/api.md is the contract, docs/cluster.md what clusters promise and what not, docs/operations.md describes running it, ARCHITECTURE.md how it is built.
package blaze
