package clientkit_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/test/clientkit"
)

var update = flag.Bool("update", false, "write the rules into docs/clients.md")

const page = "../../docs/clients.md"

// The rules stand between these lines of the page.
const (
	first = "<!-- The rules below are generated from test/clientkit: go test ./test/clientkit -update -->\n"
	last  = "<!-- The end of what is generated. -->\n"
)

// TestThePageHasTheRules holds docs/clients.md to the script: the rules that it lists are
// those of the scenarios, in their order.
func TestThePageHasTheRules(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), first)
	_, after, ended := strings.Cut(rest, last)
	if !found || !ended {
		t.Fatal("docs/clients.md has not the lines between which the rules stand")
	}
	want := before + first + "\n" + rules() + last + after
	switch {
	case want == string(text):
	case *update:
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Error("docs/clients.md does not list the rules of the script as they are: go test ./test/clientkit -update")
	}
}

func rules() string {
	var b strings.Builder
	topic := ""
	for _, s := range clientkit.Scenarios() {
		if s.Topic != topic {
			topic = s.Topic
			fmt.Fprintf(&b, "### %s\n\n", topic)
		}
		fmt.Fprintf(&b, "**`%s`**%s\n\n", s.Name, needs(s))
		for _, rule := range s.Rules {
			b.WriteString(wrap(rule))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// needs says to which clients a scenario applies.
func needs(s clientkit.Scenario) string {
	if len(s.Needs) == 0 {
		return ""
	}
	return " (if it can `" + strings.Join(s.Needs, "`, `") + "`)"
}

// wrap makes an item of a list of a rule, in lines that end before column 100.
func wrap(rule string) string {
	line, out := "-", ""
	for _, word := range strings.Fields(rule) {
		if len([]rune(line))+1+len([]rune(word)) > 99 {
			out += line + "\n"
			line = " "
		}
		line += " " + word
	}
	return out + line + "\n"
}

// TestScenariosSayWhatTheyAreAbout holds the table to what others rely on.
func TestScenariosSayWhatTheyAreAbout(t *testing.T) {
	names := map[string]bool{}
	topics := map[string]bool{}
	topic := ""
	for _, s := range clientkit.Scenarios() {
		if s.Name == "" || names[s.Name] || len(s.Rules) == 0 {
			t.Errorf("scenario %q: its name occurs twice, or it has no rules", s.Name)
		}
		if s.Topic != topic && topics[s.Topic] {
			t.Errorf("scenario %q: the scenarios of %q stand in two places", s.Name, s.Topic)
		}
		topic = s.Topic
		names[s.Name], topics[topic] = true, true
		for _, rule := range s.Rules {
			if !strings.HasSuffix(rule, ".") {
				t.Errorf("scenario %q: the rule %q is no sentence", s.Name, rule)
			}
		}
	}
}
