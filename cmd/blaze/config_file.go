package main

import (
	"encoding"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/activeblaze/blaze"
)

// readConfig reads fields of blaze.Config from a JSON file: {"Cluster": "emea", "FailureTimeout": "500ms"}.
// Times are texts as Go has them, enumerations are their names.
func readConfig(path string, cfg *blaze.Config) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return usagef("--config: %w", err)
	}
	if err := setFields(b, reflect.ValueOf(cfg).Elem()); err != nil {
		return usagef("--config %s: %w", path, err)
	}
	return nil
}

// setFields sets the fields of the struct to from a JSON object.
func setFields(b []byte, to reflect.Value) error {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(b, &given); err != nil {
		return err
	}
	var names []string
	for f := range to.Type().Fields() {
		if f.IsExported() && f.Name != "Logger" {
			names = append(names, f.Name)
		}
	}
next:
	for key, value := range given {
		for _, name := range names {
			if strings.EqualFold(name, key) {
				if err := setField(value, to.FieldByName(name)); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				continue next
			}
		}
		return fmt.Errorf("no setting %q%s", key, guess(key, names, "docs/api.md lists them"))
	}
	return nil
}

func setField(b []byte, to reflect.Value) error {
	if _, ok := to.Interface().(time.Duration); ok {
		var text string
		if err := json.Unmarshal(b, &text); err != nil {
			return fmt.Errorf("%s: want a time such as \"500ms\"", b)
		}
		d, err := time.ParseDuration(text)
		to.SetInt(int64(d))
		return err
	}
	if _, ok := to.Addr().Interface().(encoding.TextUnmarshaler); ok || to.Kind() != reflect.Struct && to.Kind() != reflect.Slice {
		return json.Unmarshal(b, to.Addr().Interface())
	}
	if to.Kind() == reflect.Struct {
		return setFields(b, to)
	}
	var items []json.RawMessage
	if err := json.Unmarshal(b, &items); err != nil {
		return err
	}
	to.Set(reflect.MakeSlice(to.Type(), len(items), len(items)))
	for i, item := range items {
		if err := setField(item, to.Index(i)); err != nil {
			return fmt.Errorf("%d: %w", i, err)
		}
	}
	return nil
}
