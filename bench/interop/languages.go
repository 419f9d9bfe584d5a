package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// language says how a member of a language is run.
type language struct {
	name string
	// command is the program and its first arguments; an error says what is missing here.
	command func(root string) ([]string, error)
	env     []string
}

var languages = []language{
	{name: "go", command: func(string) ([]string, error) {
		self, err := os.Executable()
		return []string{self, "member"}, err
	}},
	{name: "python", command: func(root string) ([]string, error) {
		if err := there(root, "clients/python/blaze/__init__.py"); err != nil {
			return nil, err
		}
		python := "/usr/bin/python3" // Debian's has Debian's packages
		if _, err := os.Stat(python); err != nil {
			if python, err = exec.LookPath("python3"); err != nil {
				return nil, err
			}
		}
		if err := exec.Command(python, "-c", "import sys, google.protobuf; sys.exit(sys.version_info < (3, 11))").Run(); err != nil {
			return nil, fmt.Errorf("%s with the package protobuf, 3.11 or later, is not there; on Debian: apt-get install python3-protobuf", python)
		}
		return []string{python, "-m", "blaze"}, nil
	}, env: []string{"PYTHONPATH=clients/python", "PYTHONDONTWRITEBYTECODE=1"}},
	{name: "node", command: func(root string) ([]string, error) {
		if err := there(root, "clients/node/dist/src/cli.js"); err != nil {
			return nil, err
		}
		node, err := exec.LookPath("node")
		return []string{node, filepath.Join(root, "clients/node/dist/src/cli.js")}, err
	}},
	{name: "c", command: func(root string) ([]string, error) {
		path := "clients/c/build/blaze-c-member"
		if err := there(root, path); err != nil {
			return nil, err
		}
		return []string{filepath.Join(root, path)}, nil
	}},
}

func there(root, path string) error {
	if _, err := os.Stat(filepath.Join(root, path)); err != nil {
		return fmt.Errorf("%s is not there; run: make clients", path)
	}
	return nil
}

// find finds languages by their names, and tells which cannot be run here.
func find(root string, names []string) (commands map[string][]string, missing map[string]error, err error) {
	commands, missing = map[string][]string{}, map[string]error{}
	for _, name := range names {
		var l *language
		for i := range languages {
			if languages[i].name == name {
				l = &languages[i]
			}
		}
		if l == nil {
			return nil, nil, errors.New("there is no language " + name)
		}
		if c, err := l.command(root); err != nil {
			missing[name] = err
		} else {
			commands[name] = c
		}
	}
	return commands, missing, nil
}

// envOf is what the environment of a member has besides.
func envOf(name string) []string {
	for i := range languages {
		if languages[i].name == name {
			return languages[i].env
		}
	}
	return nil
}
