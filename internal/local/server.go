package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

const (
	request = "inspect\n"
	// mostClients are answered at a time; more are cut off.
	mostClients = 16
	// clientTime is how long a client may take to ask, and how long to read.
	clientTime = time.Second
	// answerTime is how long the engines may take to answer.
	answerTime = time.Second
	// lastEvery is how old the file beside the socket is at most, while the process runs.
	lastEvery = time.Second
)

// Config is what a Server shows.
type Config struct {
	Dir    string                                    // Dir(), or a test's own
	Answer func(ctx context.Context) ([]byte, error) // one JSON object; any goroutine calls it
	Failed func(what string, err error)              // a file could not be written; called once, until it can again
}

// Server answers until Close.
type Server struct {
	cfg      Config
	name     string // of its files, without what follows the dot
	listener *net.UnixListener
	ctx      context.Context // ends with the Server
	end      context.CancelFunc
	work     sync.WaitGroup
	clients  atomic.Int32
	refused  atomic.Uint64
}

// channels counts the Servers of this process.
var channels atomic.Uint32

// Start begins to answer. Nothing is left behind on an error.
func Start(cfg Config) (*Server, error) {
	if err := open(cfg.Dir); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg}
	s.name = filepath.Join(cfg.Dir, fmt.Sprintf("%d-%d", os.Getpid(), channels.Add(1)))
	// The socket gets its name when it takes connections: List removes one that does not.
	path := s.name + newSuffix
	_ = os.Remove(path) // of a process that had this number
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err = os.Chmod(path, 0o600); err == nil {
		err = os.Rename(path, s.name+socketSuffix)
	}
	if err != nil {
		_ = l.Close()
		_ = os.Remove(path)
		return nil, err
	}
	s.listener = l
	s.ctx, s.end = context.WithCancel(context.Background())
	s.work.Go(s.accept)
	s.work.Go(s.keep)
	return s, nil
}

// Close ends the Server, and removes its files.
func (s *Server) Close() {
	s.end()
	_ = os.Remove(s.name + socketSuffix)
	_ = s.listener.Close()
	s.work.Wait()
	_ = os.Remove(s.name + lastSuffix)
}

// Refused is how many clients were refused or cut off: of another user, too many at a time, or without a request.
func (s *Server) Refused() uint64 { return s.refused.Load() }

func (s *Server) accept() {
	for {
		c, err := s.listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, for instance
			select {
			case <-s.ctx.Done():
				return
			case <-time.After(clientTime / 10):
				continue
			}
		}
		if s.clients.Add(1) > mostClients || !sameUser(c) {
			s.clients.Add(-1)
			s.refused.Add(1)
			_ = c.Close()
			continue
		}
		s.work.Go(func() {
			defer s.clients.Add(-1)
			if s.serve(c) != nil {
				s.refused.Add(1)
			}
			_ = c.Close()
		})
	}
}

// serve answers one client.
func (s *Server) serve(c *net.UnixConn) error {
	stop := context.AfterFunc(s.ctx, func() { _ = c.Close() }) // Close waits for no client
	defer stop()
	_ = c.SetDeadline(time.Now().Add(clientTime))
	line, err := bufio.NewReaderSize(c, 64).ReadSlice('\n')
	if err == io.EOF && len(line) == 0 {
		return nil // it wanted to know whether somebody is there
	}
	if err != nil {
		return err
	}
	if string(line) != request {
		return fmt.Errorf("request %q", line)
	}
	answer, err := s.answer()
	if err != nil {
		answer = Failure(err)
	}
	_ = c.SetDeadline(time.Now().Add(clientTime))
	_, err = c.Write(answer)
	return err
}

func (s *Server) answer() ([]byte, error) {
	ctx, cancel := context.WithTimeout(s.ctx, answerTime)
	defer cancel()
	return s.cfg.Answer(ctx)
}

// keep writes the answer into the file beside the socket, once a second.
func (s *Server) keep() {
	told := false
	for {
		answer, err := s.answer()
		if err == nil { // else the engine hangs, and what it was before says more
			err = s.write(answer)
			if err != nil && !told {
				s.cfg.Failed(s.name+lastSuffix, err)
			}
			told = err != nil
		}
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(lastEvery):
		}
	}
}

// write replaces the file as a whole: who reads meanwhile has the one or the other.
func (s *Server) write(answer []byte) error {
	if err := check(s.cfg.Dir); err != nil {
		return err
	}
	next := s.name + lastSuffix + ".new"
	err := os.WriteFile(next, answer, 0o600)
	if err == nil {
		err = os.Rename(next, s.name+lastSuffix)
	}
	if err != nil {
		if rerr := os.Remove(next); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			return errors.Join(err, rerr)
		}
	}
	return err
}
