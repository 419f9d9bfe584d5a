// Package rival runs other systems' servers, where they are installed, to put beside what blazebench measures.
package rival

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
)

// ErrNotInstalled means that the system's server is not in PATH.
var ErrNotInstalled = errors.New("not installed")

// natsPatience bounds how long servers may take until they have elected who leads.
const natsPatience = 30 * time.Second

// NATS has three nats-server processes on loopback keep a JetStream key-value bucket in memory, three times, and lets
// writers put into it for d, over one connection to each server. The client speaks the protocol of
// docs.nats.io/reference/reference-protocols/nats-protocol and no more than this needs.
func NATS(ctx context.Context, writers, keys, size int, d time.Duration) (p *measure.RivalPuts, err error) {
	bin, err := exec.LookPath("nats-server")
	if err != nil {
		return p, fmt.Errorf("nats-server: %w", ErrNotInstalled)
	}
	out, err := exec.CommandContext(ctx, bin, "--version").Output()
	if err != nil {
		return p, fmt.Errorf("nats-server --version: %w", err)
	}
	p = &measure.RivalPuts{Version: strings.TrimSpace(string(out))}
	ctx, cancel := context.WithTimeout(ctx, d+2*natsPatience)
	defer cancel()
	dir, err := os.MkdirTemp("", "blazebench")
	if err != nil {
		return p, err
	}
	defer os.RemoveAll(dir)
	addrs, end, err := startNATS(ctx, bin, dir)
	defer end()
	if err != nil {
		return p, err
	}
	conns := make([]*natsConn, len(addrs))
	for i, a := range addrs {
		if conns[i], err = dialNATS(ctx, a); err != nil {
			return p, err
		}
		defer conns[i].Close()
	}
	if err := makeBucket(ctx, conns[0]); err != nil {
		return p, err
	}
	return p, putAll(ctx, p, conns, writers, keys, size, d)
}

// startNATS starts three servers that form a cluster.
func startNATS(ctx context.Context, bin, dir string) (addrs []string, end func(), err error) {
	var all []*exec.Cmd
	end = func() {
		for _, c := range all {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	}
	ports, err := freePorts(6)
	if err != nil {
		return nil, end, err
	}
	routes := fmt.Sprintf("nats://127.0.0.1:%d, nats://127.0.0.1:%d, nats://127.0.0.1:%d", ports[3], ports[4], ports[5])
	for i := range 3 {
		file := filepath.Join(dir, fmt.Sprintf("n%d.conf", i))
		conf := fmt.Sprintf("server_name: n%d\nlisten: 127.0.0.1:%d\njetstream { store_dir: %q }\ncluster { name: blazebench, listen: 127.0.0.1:%d, routes: [%s] }\n",
			i, ports[i], filepath.Join(dir, fmt.Sprint("n", i)), ports[3+i], routes)
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			return nil, end, err
		}
		c := exec.CommandContext(ctx, bin, "-c", file)
		if err := c.Start(); err != nil {
			return nil, end, err
		}
		all = append(all, c)
		addrs = append(addrs, fmt.Sprintf("127.0.0.1:%d", ports[i]))
	}
	return addrs, end, nil
}

// freePorts finds ports of loopback that nobody has now.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

const (
	natsBucket = "blazebench"
	natsInbox  = "_INBOX.blazebench."
)

// makeBucket makes the stream that a key-value bucket is, as soon as the servers agree on a leader.
func makeBucket(ctx context.Context, c *natsConn) error {
	request, err := json.Marshal(map[string]any{
		"name": "KV_" + natsBucket, "subjects": []string{"$KV." + natsBucket + ".>"}, "storage": "memory", "num_replicas": 3,
		"max_msgs_per_subject": 1, "discard": "new", "allow_direct": true, "allow_rollup_hdrs": true, "deny_delete": true,
	})
	if err != nil {
		return err
	}
	var last error
	for end := time.Now().Add(natsPatience); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(200 * time.Millisecond) {
		answer, err := c.request(0, "$JS.API.STREAM.CREATE.KV_"+natsBucket, request, 5*time.Second)
		if err == nil {
			err = natsError(answer)
		}
		if last = err; err == nil {
			return nil
		}
	}
	return fmt.Errorf("nats-server: no bucket with three replicas within %v: %w", natsPatience, last)
}

// natsError is the error that a JetStream answer holds; nil: it holds none.
func natsError(answer []byte) error {
	var a struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return fmt.Errorf("nats-server: answered %.80q", answer)
	}
	if a.Error != nil {
		return errors.New("nats-server: " + a.Error.Description)
	}
	return nil
}

// putAll has the writers put. A tenth of the time goes by before anything counts.
func putAll(ctx context.Context, p *measure.RivalPuts, conns []*natsConn, writers, keys, size int, d time.Duration) error {
	value := bytes.Repeat([]byte{'x'}, size)
	begin := time.Now().Add(d / 10)
	end := begin.Add(d)
	hists, errs := make([]*measure.Histogram, writers), make([]error, writers)
	for i := range hists {
		hists[i] = measure.NewHistogram()
	}
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			c := conns[i%len(conns)]
			for n := i; time.Now().Before(end) && ctx.Err() == nil; n += writers {
				at := time.Now()
				answer, err := c.request(1+i, "$KV."+natsBucket+".key"+strconv.Itoa(n%keys), value, 10*time.Second)
				if err == nil {
					err = natsError(answer)
				}
				if err != nil {
					errs[i] = err
					return
				}
				if at.After(begin) {
					hists[i].Record(int64(time.Since(at)))
				}
			}
		})
	}
	all.Wait()
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return err
	}
	sum := measure.NewHistogram()
	for _, h := range hists {
		sum.Add(h)
	}
	p.PerSecond, p.Put = float64(sum.Count())/d.Seconds(), sum.Percentiles()
	return nil
}

// natsConn is a connection whose requests are answered on inboxes of its own: one for each caller, which has one request under
// way at a time.
type natsConn struct {
	net.Conn
	r       *bufio.Reader
	mu      sync.Mutex // of writing
	out     *bufio.Writer
	waiting sync.Map // of chan []byte, by caller
	flush   chan struct{}
	failed  chan struct{} // closed at the end of what comes
	why     error
}

func dialNATS(ctx context.Context, addr string) (*natsConn, error) {
	var conn net.Conn
	for { // it listens soon
		var err error
		if conn, err = new(net.Dialer).DialContext(ctx, "tcp", addr); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("nats-server: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	c := &natsConn{Conn: conn, r: bufio.NewReaderSize(conn, 64<<10), out: bufio.NewWriterSize(conn, 64<<10), flush: make(chan struct{}, 1), failed: make(chan struct{})}
	fmt.Fprintf(c.out, "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"name\":\"blazebench\",\"lang\":\"go\",\"version\":\"1\"}\r\nSUB %s* 1\r\n", natsInbox+addr[strings.LastIndexByte(addr, ':')+1:]+".")
	if err := c.out.Flush(); err != nil {
		conn.Close()
		return nil, err
	}
	go c.read()
	go c.write()
	return c, nil
}

func (c *natsConn) inbox(caller int) string {
	addr := c.RemoteAddr().String()
	return natsInbox + addr[strings.LastIndexByte(addr, ':')+1:] + "." + strconv.Itoa(caller)
}

// request publishes and waits for the answer.
func (c *natsConn) request(caller int, subject string, payload []byte, patience time.Duration) ([]byte, error) {
	v, _ := c.waiting.LoadOrStore(caller, make(chan []byte, 1))
	answer := v.(chan []byte)
	select {
	case <-answer: // of an earlier request, which was given up
	default:
	}
	c.mu.Lock()
	fmt.Fprintf(c.out, "PUB %s %s %d\r\n", subject, c.inbox(caller), len(payload))
	c.out.Write(payload)
	c.out.WriteString("\r\n")
	c.mu.Unlock()
	c.wake()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case b := <-answer:
		return b, nil
	case <-c.failed:
		return nil, fmt.Errorf("nats-server: %w", c.why)
	case <-timer.C:
		return nil, fmt.Errorf("nats-server: no answer on %s within %v", subject, patience)
	}
}

// wake has what was written leave: what several callers write meanwhile leaves together, as other clients do it.
func (c *natsConn) wake() {
	select {
	case c.flush <- struct{}{}:
	default:
	}
}

func (c *natsConn) write() {
	for {
		select {
		case <-c.failed:
			return
		case <-c.flush:
			c.mu.Lock()
			_ = c.out.Flush() // the reader notices
			c.mu.Unlock()
		}
	}
}

// read hands answers to their callers.
func (c *natsConn) read() {
	for c.why == nil {
		c.why = c.next()
	}
	close(c.failed)
}

// next takes in one protocol message.
func (c *natsConn) next() error {
	text, err := c.r.ReadString('\n')
	if err != nil {
		return err
	}
	f := strings.Fields(text)
	if len(f) == 0 {
		return nil
	}
	switch strings.ToUpper(f[0]) {
	case "PING":
		c.mu.Lock()
		c.out.WriteString("PONG\r\n")
		c.mu.Unlock()
		c.wake()
	case "-ERR":
		return errors.New(strings.TrimSpace(text))
	case "MSG", "HMSG":
		if len(f) < 4 {
			return fmt.Errorf("said %.80q", text)
		}
		n, err := strconv.Atoi(f[len(f)-1])
		if err != nil || n < 0 || n > 64<<20 {
			return fmt.Errorf("said %.80q", text)
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(c.r, b); err != nil {
			return err
		}
		caller, err := strconv.Atoi(f[1][strings.LastIndexByte(f[1], '.')+1:])
		if v, ok := c.waiting.Load(caller); ok && err == nil {
			select {
			case v.(chan []byte) <- b[:n]:
			default:
			}
		}
	}
	return nil
}
