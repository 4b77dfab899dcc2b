package template

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// source is a text that positions refer to: the template or one of its partials.
type source struct {
	partial string // its key; "" for the template itself
	text    string
}

// at is an error at a byte offset.
func (s *source) at(offset int, format string, args ...any) *Error {
	e := &Error{Partial: s.partial, Message: fmt.Sprintf(format, args...)}
	e.Line, e.Column = position(s.text, offset)
	return e
}

func position(text string, offset int) (line, column int) {
	before := text[:min(max(offset, 0), len(text))]
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
}

type tokenKind int

const (
	textToken   tokenKind = iota
	outputToken           // {{ args }}
	tagToken              // {% name args %}
	remarkToken           // a comment: it prints nothing but trims what is around it
)

// token is a piece of a template. The library's scanner is not used because it ends strings at braces, tags at line
// breaks and prints inline comments.
type token struct {
	kind                tokenKind
	name, args          string // args is the text of a textToken
	offset, argsAt      int
	trimLeft, trimRight bool
	verbatim            bool // the text is the body of raw, which trims only itself
}

// spaces are what whitespace control removes.
const spaces = " \t\n\v\f\r\x00"

// scan cuts a template into tokens, and removes the spaces that {{- -}} and {%- -%} ask to remove.
func scan(src *source) ([]token, *Error) {
	s := scanner{src: src, text: src.text}
	for s.at < len(s.text) {
		if err := s.next(); err != nil {
			return nil, err
		}
		if len(s.tokens) > MaxTokens {
			return nil, &Error{Partial: src.partial, Message: fmt.Sprintf("the template has more than %d texts and tags; shorten it", MaxTokens)}
		}
	}
	for i := range s.tokens {
		t := &s.tokens[i]
		if t.kind != textToken || t.verbatim {
			continue
		}
		if i > 0 && s.tokens[i-1].trimRight {
			t.args = strings.TrimLeft(t.args, spaces)
		}
		if i+1 < len(s.tokens) && s.tokens[i+1].trimLeft {
			t.args = strings.TrimRight(t.args, spaces)
		}
	}
	return s.tokens, nil
}

type scanner struct {
	src    *source
	text   string
	at     int
	tokens []token
}

func (s *scanner) next() *Error {
	start := s.at
	i := start
	for {
		j := strings.IndexByte(s.text[i:], '{')
		if j < 0 || i+j+1 >= len(s.text) {
			i = len(s.text)
			break
		}
		if i += j; s.text[i+1] == '{' || s.text[i+1] == '%' {
			break
		}
		i++
	}
	if i > start {
		s.at = i
		s.tokens = append(s.tokens, token{kind: textToken, args: s.text[start:i], offset: start})
		return nil
	}
	if s.text[i+1] == '{' {
		return s.output()
	}
	return s.tag()
}

// unclosed is the error of a delimiter that has no end.
func (s *scanner) unclosed(delimiter, end string) *Error {
	return s.src.at(s.at, "%s is not closed; add %s, or wrap it in {%% raw %%} to print it", delimiter, end)
}

func (s *scanner) output() *Error {
	end := endOf(s.text, s.at+2, "}}")
	if end < 0 {
		return s.unclosed("{{", "}}")
	}
	t := token{kind: outputToken, offset: s.at, args: s.text[s.at+2 : end], argsAt: s.at + 2}
	t.trim()
	s.at = end + 2
	s.tokens = append(s.tokens, t)
	return nil
}

// trim takes the hyphens of whitespace control, and the spaces around the arguments, off a token.
func (t *token) trim() {
	if t.args == "-" {
		t.trimRight = true
	}
	if strings.HasPrefix(t.args, "-") {
		t.trimLeft = true
		t.args, t.argsAt = t.args[1:], t.argsAt+1
	}
	if strings.HasSuffix(t.args, "-") {
		t.trimRight = true
		t.args = t.args[:len(t.args)-1]
	}
	t.trimArgs()
}

func (t *token) trimArgs() {
	rest := strings.TrimLeft(t.args, spaces)
	t.argsAt += len(t.args) - len(rest)
	t.args = strings.TrimRight(rest, spaces)
}

var tagName = regexp.MustCompile(`^\w+`)

func (s *scanner) tag() *Error {
	t := token{kind: tagToken, offset: s.at, argsAt: s.at + 2}
	inside := strings.TrimLeft(strings.TrimPrefix(s.text[s.at+2:], "-"), spaces)
	name := tagName.FindString(inside)
	end := 0
	if remark := strings.HasPrefix(inside, "#"); remark || name == "doc" || name == "comment" || name == "liquid" {
		end = plainEnd(s.text, s.at+2) // people write apostrophes in comments
		if name == "liquid" {
			end = liquidEnd(s.text, s.at+2)
		}
	} else {
		end = endOf(s.text, s.at+2, "%}")
	}
	if end < 0 {
		return s.unclosed("{%", "%}")
	}
	t.args = s.text[s.at+2 : end]
	t.trim()
	if strings.HasPrefix(t.args, "#") {
		return s.remark(t, end+2)
	}
	if t.name = tagName.FindString(t.args); t.name == "" {
		return s.src.at(s.at, "{%% %%} has no tag in it; write one, or wrap it in {%% raw %%} to print it")
	}
	t.args, t.argsAt = t.args[len(t.name):], t.argsAt+len(t.name)
	t.trimArgs()
	s.at = end + 2
	if t.name == "raw" || t.name == "comment" || t.name == "doc" {
		return s.body(t)
	}
	s.tokens = append(s.tokens, t)
	return nil
}

// remark is an inline comment, every line of which starts with "#".
func (s *scanner) remark(t token, after int) *Error {
	for line := range strings.SplitSeq(t.args, "\n") {
		if line = strings.Trim(line, spaces); line != "" && line[0] != '#' {
			return s.src.at(t.offset, "every line of an inline comment starts with #, but one is %q", clip(line))
		}
	}
	t.kind = remarkToken
	s.tokens = append(s.tokens, t)
	s.at = after
	return nil
}

// body is what is between {% raw %}, {% comment %} or {% doc %} and its end: nothing in it is Liquid.
func (s *scanner) body(open token) *Error {
	start, end, closed := s.at, len(s.text), token{}
	depth := 1
	for at := s.at; depth > 0; {
		m := bodyTag(open.name).FindStringSubmatchIndex(s.text[at:])
		if m == nil {
			return s.src.at(open.offset, "{%% %s %%} is not closed; add {%% end%s %%}", open.name, open.name)
		}
		tag := s.text[at+m[0] : at+m[1]]
		switch name := s.text[at+m[2] : at+m[3]]; name {
		case "end" + open.name:
			depth--
			end = at + m[0]
			closed.trimRight = tag[len(tag)-3] == '-'
		case "raw": // of a comment: tags in it don't count
			if skip := endraw.FindStringIndex(s.text[at+m[1]:]); skip != nil {
				m[1] += skip[1]
			}
		case open.name:
			depth++
		}
		at += m[1]
		s.at = at
	}
	if open.name != "raw" {
		s.tokens = append(s.tokens, token{kind: remarkToken, offset: open.offset, trimLeft: open.trimLeft, trimRight: closed.trimRight})
		return nil
	}
	s.tokens = append(s.tokens,
		token{kind: remarkToken, offset: open.offset, trimLeft: open.trimLeft},
		token{kind: textToken, args: s.text[start:end], offset: start, verbatim: true},
		token{kind: remarkToken, offset: end, trimRight: closed.trimRight})
	return nil
}

var (
	endraw = regexp.MustCompile(`\{%-?\s*(endraw)\s*-?%\}`)
	enddoc = regexp.MustCompile(`(?s)\{%-?\s*(enddoc)\b.*?%\}`)
	anyTag = regexp.MustCompile(`(?s)\{%-?\s*(\w*).*?%\}`)
)

func bodyTag(name string) *regexp.Regexp {
	switch name {
	case "raw":
		return endraw
	case "doc":
		return enddoc
	default:
		return anyTag // comments nest
	}
}

// endOf finds the end of a tag from an offset on. An end within quotes does not count, unless the quotes are not closed.
func endOf(text string, from int, end string) int {
	for i := from; i < len(text)-1; i++ {
		switch text[i] {
		case '"', '\'':
			if closing := strings.IndexByte(text[i+1:], text[i]); closing >= 0 {
				i += closing + 1
			}
		case end[0]:
			if text[i+1] == end[1] {
				return i
			}
		}
	}
	return -1
}

func plainEnd(text string, from int) int {
	if i := strings.Index(text[from:], "%}"); i >= 0 {
		return from + i
	}
	return -1
}

// liquidEnd is the end of a liquid tag: strings end with their line, and comments have no strings.
func liquidEnd(text string, from int) int {
	for i := from; i < len(text)-1; i++ {
		switch text[i] {
		case '"', '\'':
			line, _, _ := strings.Cut(text[i+1:], "\n")
			if closing := strings.IndexByte(line, text[i]); closing >= 0 {
				i += closing + 1
			}
		case '#':
			line, _, _ := strings.Cut(text[i:], "\n")
			if end := strings.Index(line, "%}"); end >= 0 {
				return i + end
			}
			i += len(line) - 1
		case '%':
			if text[i+1] == '}' {
				return i
			}
		}
	}
	return -1
}

func clip(s string) string {
	if len(s) > 50 {
		return strings.ToValidUTF8(s[:50], "") + "…"
	}
	return s
}
