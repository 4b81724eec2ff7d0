// Package docs is for tests of what the documentation says: its pages hold commands, and
// the tests in this directory run them. README.md is followed as somebody would who has
// never seen Fanfare.
//
// A block of shell commands is fenced with ```sh. A comment in front of it, which readers
// of the rendered page do not see, says how it is run if not simply to its end:
//
//	<!-- not run: why not -->         it is left out, and the test says why
//	<!-- runs until: some text -->    it goes on beside the next blocks of the page; the
//	                                  next one begins when the text has been printed
//	<!-- runs for: 500ms -->          likewise; the next one begins after that time, in
//	                                  which it must not end
//	<!-- prints: some text -->        the text has to be in its output; it is run again
//	                                  until it is
package docs

import (
	"fmt"
	"strings"
	"time"
)

// A Block is a block of code of a page.
type Block struct {
	Page    string // the name of its file
	Line    int    // of its first line
	Section string // the heading that it is under
	Lang    string // what it is fenced with; "" if it is not fenced, or with nothing
	Text    string
	NotRun  string        // why it is not run
	Until   string        // what it has printed when the next block may begin
	For     time.Duration // how long it has to run until the next block may begin
	Prints  string        // what has to be in its output
}

// Stays says whether a block goes on beside the next blocks.
func (b Block) Stays() bool { return b.Until != "" || b.For > 0 }

// Name says where a block is.
func (b Block) Name() string { return fmt.Sprintf("%s:%d", b.Page, b.Line) }

// Blocks returns all blocks of code of a page, in order.
func Blocks(page, text string) (all []Block, err error) {
	var b *Block // the block that the line is in
	var fence, section, comment string
	blank := true // the line before is empty
	end := func() {
		b.Text = strings.TrimRight(b.Text, "\n") + "\n"
		all, b = append(all, *b), nil
	}
	begin := func(line int, lang string) error {
		b = &Block{Page: page, Line: line, Section: section, Lang: lang}
		err := b.direct(comment)
		comment = ""
		return err
	}
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		indented := strings.HasPrefix(line, "    ")
		isFence := strings.HasPrefix(trimmed, "```")
		switch {
		case fence != "" && trimmed == fence:
			fence = ""
			end()
		case fence != "":
			b.Text += line + "\n"
		case b != nil && (indented || trimmed == ""):
			b.Text += strings.TrimPrefix(line, "    ") + "\n"
		case isFence:
			if b != nil {
				end()
			}
			fence = trimmed[:strings.LastIndex(trimmed, "`")+1]
			err = begin(i+1, trimmed[len(fence):])
		case blank && indented:
			err = begin(i+1, "")
			b.Text = line[4:] + "\n"
		default:
			if b != nil {
				end()
			}
			if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
				section = title
			}
			if trimmed != "" {
				comment = trimmed
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", page, i+1, err)
		}
		blank = trimmed == ""
	}
	if b != nil {
		end()
	}
	return all, nil
}

// direct takes what the line in front of a block says of it, if that is a comment.
func (b *Block) direct(line string) (err error) {
	line, isComment := strings.CutPrefix(line, "<!-- ")
	if !isComment {
		return nil
	}
	what, said, _ := strings.Cut(strings.TrimSuffix(line, " -->"), ": ")
	switch what {
	case "not run":
		b.NotRun = said
	case "runs until":
		b.Until = said
	case "runs for":
		b.For, err = time.ParseDuration(said)
	case "prints":
		b.Prints = said
	default:
		return fmt.Errorf("%q says nothing about a block: see the doc comment of package docs", line)
	}
	if said == "" {
		return fmt.Errorf("%q lacks its text", line)
	}
	return err
}

// commands are what blocks of shell commands begin with.
var commands = strings.Fields(`apt-get bash bin/fanfare cat cd cp curl docker echo export fanfare
git go helm kafka-console-consumer.sh kafka-topics.sh kcat kubectl make mkdir mv nats npm npx openssl
pip pip3 promtool python python3 redis-cli redis-server sudo systemctl wget`)

// LooksLikeShell says whether a block that is not fenced as one has shell commands.
func (b Block) LooksLikeShell() bool {
	if b.Lang != "" && b.Lang != "text" && b.Lang != "bash" && b.Lang != "shell" && b.Lang != "console" {
		return false
	}
	for line := range strings.Lines(b.Text) {
		for _, word := range strings.Fields(line) {
			if word == "$" || strings.Contains(word, "=") {
				continue // a prompt, or a variable
			}
			for _, c := range commands {
				if word == c {
					return true
				}
			}
			break
		}
	}
	return false
}
