package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// runHere runs a command line in this process.
func runHere(args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = run(append([]string{}, args...), strings.NewReader(""), &out, &err)
	return status, out.String(), err.String()
}

// A mistake is one line on standard error that names it and, where it can, guesses; the status is 2.
func TestMistakes(t *testing.T) {
	file := t.TempDir() + "/config.json"
	for _, c := range []struct {
		args   string
		config string
		want   string
	}{
		{args: "pubb a.b x", want: `blaze: unknown command "pubb": did you mean pub?`},
		{args: "pubb --count 3", want: `blaze: unknown command "pubb": did you mean pub?`},
		{args: "frobnicate", want: `blaze: unknown command "frobnicate"; blaze --help lists them`},
		{args: "help usb", want: `blaze: unknown command "usb": did you mean sub?`},
		{args: "--cuont 3", want: "blaze: unknown option --cuont; blaze --help lists them"},
		{args: "pub a.b x --cuont 3", want: "blaze pub: unknown option --cuont: did you mean --count?"},
		{args: "pub a.b x --wait-receiver 3", want: "blaze pub: unknown option --wait-receiver: did you mean --wait-receivers?"},
		{args: "pub a.b x -z", want: "blaze pub: unknown option -z; blaze pub --help lists them"},
		{args: "pub a.b x --count many", want: `blaze pub: --count "many": want a whole number`},
		{args: "pub a.b x --count", want: `blaze pub: --count lacks its value: want a whole number`},
		{args: "pub a.b x --count -1", want: "blaze: --count -1: want more than 0, or 0 for all"},
		{args: "pub a.b x --rate fast", want: `blaze pub: --rate "fast": want a number`},
		{args: "pub a.b x --rate NaN", want: "blaze: --rate NaN: want more than 0, or 0 for no limit"},
		{args: "pub a.b x --wait-receivers -1", want: "blaze: --wait-receivers -1: want 0 or more"},
		{args: "pub a.b x --timeout 5", want: `blaze pub: --timeout "5": want a time such as 500ms or 1m`},
		{args: "pub a.b x --timeout -5s", want: "blaze: --timeout -5s: want more than 0, or 0 for no limit"},
		{args: "pub a.b x --protocol totm", want: `blaze: --protocol "totm": want nack, besteffort, fec, hybrid or totem: did you mean totem?`},
		{args: "pub a.b x --idle lazy", want: `blaze: --idle "lazy": want backoff, busyspin or block; see --help`},
		{args: "pub a.b x --log-level loud", want: `blaze: --log-level "loud": want debug, info, warn or error; see --help`},
		{args: "pub a.b x --uri tcp://1.2.3.4:5", want: "blaze: bad configuration: BroadcastURI"},
		{args: "pub", want: "blaze pub: which TOPIC? For example: blaze pub prices.acme 101.25"},
		{args: "sub", want: "blaze sub: which TOPIC? For example: blaze sub 'prices.>'"},
		{args: "sub a.b --count -2", want: "blaze: --count -2: want more than 0, or 0 for all"},
		{args: "completion", want: "blaze completion: which SHELL? Want bash, zsh, fish or powershell"},
		{args: "completion tcsh", want: `blaze: unknown shell "tcsh": want bash, zsh, fish or powershell`},
		{args: "members extra", want: `blaze members: "extra" is one argument too many`},
		{args: "members --wait -1", want: "blaze: --wait -1: want 0 to 1000"},
		{args: "memebrs", want: `blaze: unknown command "memebrs": did you mean members?`},
		{args: "send", want: "blaze send: which MEMBER? For example: blaze send desk hello"},
		{args: "inbox a b", want: `blaze inbox: "b" is one argument too many`},
		{args: "inbox --count -1", want: "blaze: --count -1: want more than 0, or 0 for all"},
		{args: "request", want: "blaze request: which MEMBER? For example: blaze request desk 'what is acme?'"},
		{args: "request desk", want: "blaze request: which TEXT? For example"},
		{args: "request desk a b", want: `blaze request: "b" is one argument too many; a text with spaces needs quotes`},
		{args: "request --queue q a b", want: `blaze request: "b" is one argument too many; a text with spaces needs quotes`},
		{args: "queue", want: "blaze queue: want put or take; blaze queue --help has more"},
		{args: "queue tkae q", want: `blaze queue: unknown command "tkae": did you mean take?`},
		{args: "queue tkae q --count 3", want: `blaze queue: unknown command "tkae": did you mean take?`},
		{args: "queue put", want: "blaze queue put: which QUEUE? For example: blaze queue put orders 'buy 100' 'sell 50'"},
		{args: "queue take", want: "blaze queue take: which QUEUE? For example"},
		{args: "queue take q --fail -1", want: "blaze: --fail -1: want 0 or more"},
		{args: "queue take q --exec cat --reply x", want: "blaze: --reply and --exec: the output of the command is the reply"},
		{args: "chat hello", want: `blaze chat: "hello" is one argument too many`},
		{args: "sub a --config nowhere.json", want: "blaze: --config: open nowhere.json: no such file or directory"},
		{args: "sub a --config " + file, config: `{"Clutser": "x"}`, want: `no setting "Clutser": did you mean Cluster?`},
		{args: "sub a --config " + file, config: `{"Linger": 5}`, want: `Linger: 5: want a time such as "500ms"`},
		{args: "sub a --config " + file, config: `{"Protocol": "tcp"}`, want: `Protocol: bad configuration: protocol = "tcp": must be nack`},
		{args: "sub a --config " + file, config: `{"Topics": [{"Pattern": "a", "Safe": 7}]}`, want: `Topics: 0: Safe: json: cannot unmarshal number`},
		{args: "sub a --config " + file, config: `{"Window": 7}`, want: `bad configuration: Window = 7: must be 65536 to`},
		{args: "sub a --config " + file, config: `[`, want: `unexpected end of JSON input`},
	} {
		if err := os.WriteFile(file, []byte(c.config), 0o600); err != nil {
			t.Fatal(err)
		}
		status, stdout, stderr := runHere(strings.Fields(c.args)...)
		if status != statusUsage || !strings.Contains(stderr, c.want) || stdout != "" || strings.Count(stderr, "\n") != 1 {
			t.Errorf("blaze %s: status %d, standard output %q, standard error\n%swant\n%s", c.args, status, stdout, stderr, c.want)
		}
	}
}

// commands are all commands of the tool.
func commands() (all []*cobra.Command) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		all = append(all, cmd)
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				walk(c)
			}
		}
	}
	walk((&app{}).root())
	return all
}

// Every page of help is on standard output, has all of its parts and fits 80 columns.
func TestHelp(t *testing.T) {
	for _, cmd := range commands() {
		args := strings.Fields(cmd.CommandPath())[1:]
		status, stdout, stderr := runHere(append(args, "--help")...)
		if status != statusDone || stderr != "" {
			t.Errorf("%s --help: status %d\n%s", cmd.CommandPath(), status, stderr)
		}
		for _, part := range []string{"\nUsage:\n  " + cmd.CommandPath(), "\nExample:\n  ", "--timeout", "\nExit status:\n"} {
			if !strings.Contains(stdout, part) {
				t.Errorf("%s --help lacks %q:\n%s", cmd.CommandPath(), part, stdout)
			}
		}
		for _, line := range lines(stdout) {
			if utf8.RuneCountInString(line) > 80 {
				t.Errorf("%s --help: wider than 80 columns: %s", cmd.CommandPath(), line)
			}
		}
		if len(args) > 0 {
			if _, page, _ := runHere(append([]string{"help"}, args...)...); page != stdout {
				t.Errorf("blaze help %s is another page:\n%s", args, page)
			}
		}
	}
	if status, stdout, stderr := runHere(); status != statusDone || !strings.Contains(stdout, "Commands:") || stderr != "" {
		t.Errorf("blaze alone: status %d\n%s%s", status, stdout, stderr)
	}
}

// The examples of the help work as they are printed.
func TestExamples(t *testing.T) {
	t.Parallel()
	group, cluster, queues := newShell(t), newShell(t), newShell(t)
	cluster.clusterOf(1, 1)
	queues.holder()
	dir := dataDir(t)
	for _, cmd := range commands() {
		script, s := "set -e\n"+cmd.Example+"\nwait", group
		if strings.Contains(script, "blaze map") || strings.Contains(script, "blaze lock") || strings.Contains(script, "blaze cluster") {
			s = cluster
		}
		if strings.Contains(script, "blaze jms") && !strings.Contains(script, "blaze jms hold") {
			s = queues
		}
		script = strings.ReplaceAll(script, "/var/lib/blaze", dir)
		if stdout, stderr, status := s.run(script); status != 0 {
			t.Errorf("%s\nstatus %d\n%s%s", script, status, stdout, stderr)
		}
	}
}

// Options go before the environment, and that before the file.
func TestConfig(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	for _, c := range []struct{ options, cluster string }{
		{"", s.cluster},
		{"--cluster other", "other"},
		{"--config f.json", s.cluster},
		{"--cluster other --config f.json", "other"},
	} {
		_, stderr, status := s.run(`echo '{"cluster": "filed", "Linger": "10ms", "Topics": [{"Pattern": "a.>", "Protocol": "besteffort"}], "FEC": {"SourceSymbols": 8}}' >f.json; blaze sub --timeout 1ms a ` + c.options)
		if status != statusTime || !strings.Contains(stderr, `listening in cluster "`+c.cluster+`" at `+s.uri) {
			t.Errorf("%s: status %d\n%s", c.options, status, stderr)
		}
	}
	_, stderr, _ := s.run(`unset BLAZE_CLUSTER; blaze sub --timeout 1ms a --config f.json`)
	if !strings.Contains(stderr, `cluster "filed"`) {
		t.Error(stderr)
	}
	_, stderr, _ = s.run(`blaze sub --timeout 1ms a -q`)
	if strings.Count(stderr, "\n") != 1 || strings.Contains(stderr, "listening") {
		t.Errorf("with --quiet errors remain, and nothing else:\n%s", stderr)
	}
}

func TestGuess(t *testing.T) {
	for _, c := range []struct {
		word, want string
	}{
		{"sbu", ": did you mean sub?"}, {"pb", ": did you mean pub?"}, {"publish", "; help"}, {"", "; help"}, {"membres", ": did you mean members?"},
	} {
		if got := guess(c.word, []string{"pub", "sub", "members"}, "help"); got != c.want {
			t.Errorf("guess(%q) is %q, want %q", c.word, got, c.want)
		}
	}
}

func TestOneLine(t *testing.T) {
	for _, c := range []struct{ s, want string }{
		{"plain – text é 日本", "plain – text é 日本"},
		{"a\tb\nc\x1b[2J", `a\tb\nc\x1b[2J`},
		{"\xff\x00", `\xff\x00`},
		{"\u202eabc\u2066", `\u202eabc\u2066`},
		{"�", "�"},
	} {
		if got := oneLine(c.s); got != c.want {
			t.Errorf("oneLine(%q) is %q, want %q", c.s, got, c.want)
		}
	}
}
