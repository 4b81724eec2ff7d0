package fanfare

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

// numbers returns the fields of a struct that are numbers, by their path.
func numbers(v reflect.Value, path string, all map[string]reflect.Value) {
	for i := range v.NumField() {
		f, name := v.Field(i), path+v.Type().Field(i).Name
		switch f.Kind() {
		case reflect.Struct:
			numbers(f, name+".", all)
		case reflect.Int, reflect.Int64:
			all[name] = f
		}
	}
}

// Each number has a bound, and a value at the bound itself is good.
func TestEveryNumberInTheSettingsHasABound(t *testing.T) {
	valid := func() Config {
		c := DefaultConfig()
		c.Dev = true
		return c
	}
	c := valid()
	fields := map[string]reflect.Value{}
	numbers(reflect.ValueOf(&c).Elem(), "", fields)
	delete(fields, "Auth.JWT.Leeway") // checkAuth bounds it
	if len(fields) != len(c.bounds()) {
		t.Errorf("%d numbers, but %d bounds", len(fields), len(c.bounds()))
	}
	for name, f := range fields {
		usual := f.Int()
		for _, bad := range []int64{-1, math.MinInt64, math.MaxInt64} {
			f.SetInt(bad)
			err := c.Validate()
			if err == nil || bad < 0 && !strings.Contains(err.Error(), "more than 0") || bad > 0 && !strings.Contains(err.Error(), "want at most") {
				t.Errorf("%s = %d: %v", name, bad, err)
			}
		}
		f.SetInt(usual)
		if err := c.Validate(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for _, b := range c.bounds() {
		for _, at := range []struct {
			value int64
			good  bool
		}{{b.low, true}, {b.low - 1, false}, {b.high, true}, {b.high + 1, false}} {
			b.value = at.value
			if err := b.fault(); (err == nil) != at.good {
				t.Errorf("%s = %s: %v", b.key, b.show(b.value), err)
			}
		}
	}
}

func TestPortsAreBounded(t *testing.T) {
	for addr, good := range map[string]bool{
		":0": true, "127.0.0.1:65535": true, "[::1]:80": true, "localhost:http": true, "127.0.0.1:65536": false, "127.0.0.1:-1": false,
		"127.0.0.1:99999999999999999999": false, "127.0.0.1:8O80": false,
	} {
		c := DefaultConfig()
		c.Dev, c.Listen = strings.HasPrefix(addr, "1") || strings.HasPrefix(addr, "l") || strings.HasPrefix(addr, "["), addr
		if !c.Dev {
			c.Auth.JWT.Secret = Secret(strings.Repeat("x", 32))
		}
		if err := c.Validate(); (err == nil) != good {
			t.Errorf("%q: %v", addr, err)
		}
	}
}

func TestABoundIsShownAsItIsWritten(t *testing.T) {
	c := DefaultConfig()
	c.Dev, c.Drain, c.Limits.MessageBytes, c.PublishTimeout = true, 100_000*time.Hour, 1<<40, 1
	err := c.Validate()
	for _, want := range []string{"drain: 100000h is too much: want at most 24h", "limits.message_bytes: 1024GiB is too much: want at most 64MiB", "publish_timeout: 1ns is too little: want at least 1ms"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}
