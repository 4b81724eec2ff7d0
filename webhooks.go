package fanfare

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
	"github.com/fanfarebus/fanfare/subscriber"
	"github.com/fanfarebus/fanfare/webhook"
)

// A Webhook is an HTTP endpoint to which events about users, and what users send, are
// posted. docs/protocol.md describes the requests. As text, in settings, it is a line of
// words, which [ParseWebhook] reads:
//
//	name=crm url=https://crm.example.com/hook secret_file=/run/secrets/crm systems=chat+orders events inbound
type Webhook struct {
	// Name is what the endpoint is called in logs and metrics, and makes the name of
	// its consumer group, fanfare-webhook-NAME. It has the form of a system's name.
	Name string
	// URL takes the requests: http:// or https://. It may hold a secret, so it is not
	// shown.
	URL string
	// Secrets sign each request, one signature for each: whsec_ and base64 of 24 to 64
	// bytes. With the old and the new one, a secret can be replaced meanwhile.
	Secrets []Secret
	// SecretFile is a file with such secrets, one a line, beside Secrets. It is read
	// once, when the worker is made.
	SecretFile string
	// Systems are the systems whose events and messages the endpoint gets.
	Systems []string
	// Events and Inbound say what it gets: events about users; what users send.
	Events, Inbound bool
	// Timeout bounds one request; 0 means 10 s, 5 min is the most.
	Timeout time.Duration
	// MaxAge is how old something may be that is posted; what is older is dropped,
	// counted and logged. 0 means 24 h, 30 days is the most.
	MaxAge time.Duration
}

// ParseWebhook reads a Webhook: words with spaces between them, of which these may occur
// once: name=…, url=…, systems=A+B, events, inbound, timeout=10s, max_age=24h and
// secret_file=PATH; and secret=whsec_… up to eight times. No error shows a secret or the URL.
func ParseWebhook(text string) (w Webhook, err error) {
	seen := make(map[string]bool)
	for i, word := range strings.Fields(text) {
		key, value, hasValue := strings.Cut(word, "=")
		isSwitch := key == "events" || key == "inbound"
		switch {
		case seen[key] && key != "secret":
			return w, fmt.Errorf("%s is there twice", key)
		case isSwitch == hasValue || hasValue && value == "": // not shown: it may be a secret
			return w, fmt.Errorf("word %d: want words such as name=crm url=https://… secret_file=PATH "+
				"systems=chat+orders events inbound, with spaces between them", i+1)
		}
		seen[key] = true
		switch key {
		case "name":
			w.Name = value
		case "url":
			w.URL = value
		case "secret":
			w.Secrets = append(w.Secrets, Secret(value))
		case "secret_file":
			w.SecretFile = value
		case "systems":
			w.Systems = strings.Split(value, "+")
		case "events":
			w.Events = true
		case "inbound":
			w.Inbound = true
		case "timeout":
			w.Timeout, err = webhookTime(key, value)
		case "max_age":
			w.MaxAge, err = webhookTime(key, value)
		default:
			return w, fmt.Errorf("word %d is none of name, url, secret, secret_file, "+
				"systems, events, inbound, timeout and max_age", i+1)
		}
		if err != nil {
			return w, err
		}
	}
	return w, nil
}

func webhookTime(key, value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%s: want a duration, such as 10s or 24h, more than 0", key)
	}
	return d, nil
}

// String writes the webhook as [ParseWebhook] reads it, except that secrets and all of the
// URL but its host are hidden.
func (w Webhook) String() string {
	words := []string{"name=" + w.Name}
	if u, err := url.Parse(w.URL); err == nil && u.Host != "" {
		words = append(words, "url="+u.Scheme+"://"+u.Host+"/"+hidden)
	}
	for range w.Secrets {
		words = append(words, "secret="+hidden)
	}
	if w.SecretFile != "" {
		words = append(words, "secret_file="+w.SecretFile)
	}
	words = append(words, "systems="+strings.Join(w.Systems, "+"))
	if w.Events {
		words = append(words, "events")
	}
	if w.Inbound {
		words = append(words, "inbound")
	}
	if w.Timeout > 0 {
		words = append(words, "timeout="+w.Timeout.String())
	}
	if w.MaxAge > 0 {
		words = append(words, "max_age="+w.MaxAge.String())
	}
	return strings.Join(words, " ")
}

// endpoint returns the webhook as package webhook takes it. The file of secrets is not read.
func (w *Webhook) endpoint() webhook.Endpoint {
	return webhook.Endpoint{
		Name: w.Name, URL: w.URL, Secrets: reveal(w.Secrets), Systems: w.Systems,
		Events: w.Events, Inbound: w.Inbound, Timeout: w.Timeout, MaxAge: w.MaxAge,
	}
}

// endpoints returns the webhooks with the secrets of their files.
func endpoints(all []Webhook) ([]webhook.Endpoint, error) {
	var read []webhook.Endpoint
	for i := range all {
		e := all[i].endpoint()
		if file := all[i].SecretFile; file != "" {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("webhook %.64q: secret_file: %w", e.Name, err)
			}
			e.Secrets = append(e.Secrets, strings.Fields(string(text))...)
		}
		read = append(read, e)
	}
	return read, webhook.Check(read)
}

// checkWebhooks checks everything but the files of secrets.
func (c Config) checkWebhooks() (faults []error) {
	var all []webhook.Endpoint
	for i := range c.Webhooks {
		e := c.Webhooks[i].endpoint()
		if c.Webhooks[i].SecretFile != "" && len(e.Secrets) == 0 {
			e.Secrets = []string{unreadSecret}
		}
		all = append(all, e)
	}
	if err := webhook.Check(all); err != nil {
		faults = append(faults, fault("webhooks", "%w", err))
	}
	return faults
}

// unreadSecret stands for a secret that is still in its file.
const unreadSecret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// newWebhooks makes what posts to the webhooks in the settings, none if there are none.
// While the bus is moved it receives from both, on connections of its own.
func newWebhooks(
	ctx context.Context, cfg Config, b bus, o options,
) (w *webhook.Worker, cleanup func(), err error) {
	cleanup = func() {}
	var buses []subscriber.Bus
	if one, ok := b.(*transport.Transport); ok {
		buses = []subscriber.Bus{one}
	} else if urls := dsn.SplitURLs(cfg.Transport); len(cfg.Webhooks) > 0 && len(urls) == 2 {
		from, to, err := openBoth(ctx, urls[0], urls[1], transport.Config{PublishOnly: true}, o)
		if err != nil {
			return nil, nil, err
		}
		cleanup = func() { closeBus(from, o.log); closeBus(to, o.log) }
		buses = []subscriber.Bus{from, to}
	}
	all, err := endpoints(cfg.Webhooks)
	if err == nil {
		w, err = webhook.New(buses, all, webhook.Config{Topic: cfg.Topic, Logger: o.log})
	}
	if err != nil {
		cleanup()
		return nil, nil, fmt.Errorf("webhooks: %w", err)
	}
	if names := silent(cfg); len(names) > 0 {
		o.log.Warn("webhooks want events of systems that are not in the setting events: "+
			"nothing is posted about who comes and goes there, unless other nodes have the setting",
			"systems", names)
	}
	if len(all) > 0 && !b.Guarantees().Groups {
		o.log.Warn("this bus has no consumer groups: each node with these webhooks posts everything; " +
			"set them on one node only, or run `fanfare webhook` once")
	}
	return w, cleanup, nil
}

// silent returns the systems whose events a webhook wants and this node does not make.
func silent(cfg Config) (systems []string) {
	for _, w := range cfg.Webhooks {
		for _, s := range w.Systems {
			if w.Events && !slices.Contains(cfg.Events, s) && !slices.Contains(systems, s) {
				systems = append(systems, s)
			}
		}
	}
	return systems
}

// Webhooks post to endpoints in a process of their own, as a node does with its
// Config.Webhooks. [Webhooks.Run] does it.
type Webhooks struct {
	worker *webhook.Worker
	bus    *transport.Transport
}

// NewWebhooks opens the bus at a URL. It does not wait for the broker. Several processes
// with the same webhooks share the deliveries, where the bus has consumer groups; each keeps
// those of a user in order, but all together do so only on Kafka. So run one, and have it
// started again when it ends. Options that matter here are those of [NewSubscriber].
func NewWebhooks(
	ctx context.Context, url string, all []Webhook, opts ...Option,
) (*Webhooks, error) {
	o := newOptions(opts)
	read, err := endpoints(all)
	if err != nil {
		return nil, err
	}
	if len(read) == 0 {
		return nil, errors.New("want at least one webhook")
	}
	tc := transport.Config{PublishOnly: true, Logger: o.log}
	var bus *transport.Transport
	if o.driver != nil {
		bus = transport.New(o.driver, tc)
	} else if bus, err = o.openers.Open(ctx, url, tc); err != nil {
		return nil, err
	}
	worker, err := webhook.New([]subscriber.Bus{bus}, read,
		webhook.Config{Topic: o.topic, Logger: o.log})
	if err != nil {
		return nil, errors.Join(err, bus.Close())
	}
	return &Webhooks{worker, bus}, nil
}

// Run posts until ctx ends, and returns nil then. What is not done by that time is done by
// the next process, where the bus keeps a log. While the bus is down Run tries again; it
// returns an error if the bus cannot carry the topics.
func (w *Webhooks) Run(ctx context.Context) error { return w.worker.Run(ctx) }

// Close closes the bus. It may be called more than once.
func (w *Webhooks) Close() error { return w.bus.Close() }
