package main

import (
	"os/exec"
	"strings"
	"testing"
)

// The scripts load in their shells, and complete.
func TestCompletion(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	// The script of bash calls functions of the package bash-completion where they are there, and does without else.
	s.want(`source <(blaze completion bash) && complete -p blaze &&
		COMP_WORDS=(blaze pu) COMP_CWORD=1 COMP_LINE='blaze pu' COMP_POINT=8 COMP_TYPE=9 && words=("${COMP_WORDS[@]}") cword=1 cur=pu prev=blaze &&
		__blaze_get_completion_results && printf %s "$out"`, "complete -o default -F __start_blaze blaze\npub\tSend messages on a topic\n", 0)
	for shell, check := range map[string]string{
		"zsh":  `autoload -U compinit && compinit -u -d dump && source <(blaze completion zsh) && echo "${_comps[blaze]}"`,
		"fish": `blaze completion fish | source; and complete -c blaze | string match -q '*__blaze_prepare_completions*'; and echo _blaze`,
	} {
		t.Run(shell, func(t *testing.T) {
			if _, err := exec.LookPath(shell); err != nil {
				t.Skip("SKIPPED: " + shell + " is not installed")
			}
			s.want(shell+` -c '`+check+`'`, "_blaze\n", 0)
		})
	}
	out, _, status := s.run(`blaze completion powershell`)
	if status != 0 || !strings.Contains(out, "Register-ArgumentCompleter") {
		t.Errorf("powershell: status %d\n%s", status, out)
	}
}

// completes completes words while what begin has started runs. Who has 300 ms to answer may miss them on a busy host, so
// it may take some attempts.
func (s *shell) completes(begin, words, want string) {
	s.t.Helper()
	s.want(begin+`
		for i in 1 2 3 4 5; do
			out=$(blaze __completeNoDesc `+words+` 2>/dev/null)
			test "$out" = "`+strings.TrimSuffix(want, "\n")+`" && break
		done
		echo "$out"`, want, 0)
}

// Completion asks the running group, and is done in time where nobody answers.
func TestCompletionAsksTheGroup(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	for _, c := range []struct{ words, want string }{
		{"sub ''", "a.b\n:4\n"},
		{"pub ''", "a.b\n:4\n"},
		{"pub a.b ''", ":4\n"},
		{"sub --uri nonsense ''", ":4\n"},
		{"sub --protocol ''", "nack\nbesteffort\nfec\nhybrid\ntotem\n:4\n"},
		{"sub --cluster ''", ":4\n"},
	} {
		s.completes(`yes | blaze pub -q --wait-receivers 0 --rate 1000 a.b & blaze sub -q --count 1 a.b >/dev/null`, c.words, c.want)
	}
}

// Members, groups and queues are completed with what is there.
func TestCompletionOfMembers(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	for _, c := range []struct{ words, want string }{
		{"send ''", "ann\ndesk\n:4\n"},
		{"request ''", "ann\ndesk\n:4\n"},
		{"send desk ''", ":4\n"},
		{"members --group ''", "chat\n:4\n"},
		{"queue put ''", "orders\n:4\n"},
		{"queue take ''", "orders\n:4\n"},
		{"request --queue ''", "orders\n:4\n"},
		{"request --queue orders ''", ":4\n"},
		{"completion ''", "bash\nzsh\nfish\npowershell\n:4\n"},
	} {
		s.completes(open+`blaze queue take -q --name desk orders & blaze chat -q --name ann <in >/dev/null 3>&- & blaze members --wait 2 >/dev/null`, c.words, c.want)
	}
}

// Maps are completed with those of the cluster that have entries.
func TestCompletionOfMaps(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	c := s.clusterOf(1, 1)[0]
	if _, err := c.Map("prices").Put(t.Context(), "acme", nil); err != nil {
		t.Fatal(err)
	}
	c.Map("named, and no more")
	for _, c := range []struct{ words, want string }{
		{"map get ''", "prices\n:4\n"},
		{"lock ''", "prices\n:4\n"},
		{"map put prices ''", ":4\n"},
	} {
		s.completes("", c.words, c.want)
	}
}
