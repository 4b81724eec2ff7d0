package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// hostile are URLs of buses of which S3CR3T, or a part of it, is the secret.
var hostile = []string{
	"redis://:S3CR3T@h:6379/0", "redis://u:S3CR3T@h", "redis://S3CR3T@h", "redis://u:S3C R3T@h:1/0", "redis://:1234 S3CR3T@h", "redis://u:%zzS3CR3T@h",
	"redis://u:S3C@R3T@h", "redis://u:S3C/R3T@h", "redis://u:S3C?R3T@h", "redis://u:S3C#R3T@h", "redis://u:S3C,R3T@h:1,i:2", "u:S3CR3T@h", "redis:u:S3CR3T@h",
	"redis:/u:S3CR3T@h", "//u:S3CR3T@h", ":S3CR3T@h", "S3CR3T", "redis://h?password=S3CR3T", "redis://h?sentinel_password=S3CR3T&db=1", "redis://h?PASSWORD=S3CR3T",
	"redis://h?pass%77ord=S3CR3T", "redis://h?password=S3C%zzR3T", "redis://h?password=S3C;R3T", "redis://h?a=b;password=S3CR3T", "redis://h?x=redis://u:S3CR3T@h",
	"nats://S3CR3T@h", "nats://h?token=S3CR3T", "nats://a:S3CR3T@h,b:S3CR3T@i", "nats://a:S3CR3T@h:4222,nats://b:S3CR3T@i:4222", "kafka://u:S3CR3T@a:9092,b:9092", "kafka://a,u:S3CR3T@b:9092",
	"memory:// redis://:S3CR3T@h", "redis://:S3CR3T@h kafka://u:S3CR3T@i", "memory://u:S3CR3T@h", "redis://h/S3CR3T@x", "redis://[::1:S3CR3T@h", "redis://u:S3CR3T@h:port",
	"redis://h#S3CR3T", "\tredis://:S3CR3T@h\n", "redis://u:S3CR3T\x00@h", "redis://u:S3CR3T\xff@h",
}

func leaks(text string) bool {
	return strings.Contains(text, "S3C") || strings.Contains(text, "R3T") || strings.Contains(text, "1234")
}

// Whatever prints a setting hides what is secret in it, even if the setting is no
// valid URL.
func TestNoOutputShowsASecret(t *testing.T) {
	for _, url := range hostile {
		if strings.Contains(url, "\x00") {
			continue // a command-line argument cannot hold it
		}
		file := write(t, "transport: "+fmt.Sprintf("%q", url)+"\n")
		inFile := write(t, url)
		for _, args := range [][]string{
			{"config", "print", "--transport", url}, {"config", "check", "--transport", url}, {"config", "print", "--config", file}, {"config", "print", "--transport_file", inFile},
			{"config", "print", "--transport_file", url}, {"config", "check", "--listen", url}, {"config", "print", "--listen", url}, {"config", "check", "--origins", url}, {"config", "check", "--proxies", url},
			{"config", "print", "--auth.api_keys", url}, {"config", "check", "--auth.api_keys", url}, {"config", "check", "--auth.jwt.secret", url}, {"config", "check", "--auth.jwt.public_key", url},
			{"config", "check", "--log.level", url}, {"config", "check", "--topic", url}, {"config", "check", "--drain", url}, {"config", "check", "--window.bytes", url},
			{"serve", "--auth.jwt.secret_file", url}, {"move", "--from_file", url, "--to", "memory://", "--systems", "a"}, {"serve", "--help", "--transport", url},
			{"publish", "--url", url, "--system", "orders", "--to", "*", "--data", "1"},
		} {
			if url == "S3CR3T" && (args[2] == "--listen" || args[2] == "--origins" || args[2] == "--proxies" || args[2] == "--log.level" || args[2] == "--topic" || args[2] == "--transport_file" || args[0] == "serve" || args[0] == "move") {
				continue // a word by itself may be anything
			}
			var out, errs strings.Builder
			a := &app{in: strings.NewReader(""), out: &out, err: &errs, name: "fanfare"}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			a.run(ctx, args)
			cancel()
			if leaks(out.String()) || leaks(errs.String()) {
				t.Errorf("%q: %s%s", args, out.String(), errs.String())
			}
		}
	}
}
