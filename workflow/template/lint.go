package template

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/osteele/liquid/expressions"
	"github.com/osteele/liquid/parser"
)

// blockTags open a block; the value lists the clauses it may have.
var blockTags = map[string][]string{
	"if": {"elsif", "else"}, "unless": {"else"}, "case": {"when", "else"}, "for": {"else"},
	"tablerow": nil, "capture": nil,
}

var simpleTags = []string{"assign", "break", "continue"}

// linter walks the tokens of a template with their positions, which the parser
// does not keep, and refuses what the parser would crash on or let pass.
type linter struct {
	source string
	offset int
	open   []openBlock
	names  map[string]bool
}

type openBlock struct {
	name   string
	offset int
}

// lint returns the names the template mentions, a superset of its variables.
func lint(source string) (map[string]bool, error) {
	tokens := parser.Scan(source, parser.SourceLoc{LineNo: 1}, nil)
	if len(tokens) > MaxTokens {
		return nil, &Error{Message: fmt.Sprintf("the template has more than %d texts and tags; shorten it", MaxTokens)}
	}
	l := &linter{source: source, names: map[string]bool{}}
	verbatim := ""
	for _, token := range tokens {
		end := token.Type == parser.TagTokenType && token.Name == "end"+verbatim
		var err *Error
		switch {
		case verbatim != "" && !end:
		case verbatim != "":
			verbatim = ""
		case token.Type == parser.TagTokenType && (token.Name == "comment" || token.Name == "raw"):
			verbatim = token.Name
			l.open = append(l.open, openBlock{token.Name, l.offset})
			err = l.checkDepth()
			l.open = l.open[:len(l.open)-1]
		case token.Type == parser.TextTokenType:
			err = l.text(token.Source)
		case token.Type == parser.ObjTokenType:
			err = l.output(token)
		case token.Type == parser.TagTokenType:
			err = l.tag(token)
		}
		if err != nil {
			return nil, err
		}
		l.offset += len(token.Source)
	}
	if verbatim != "" {
		return nil, l.at(len(source), "{%% %s %%} is not closed; add {%% end%s %%}", verbatim, verbatim)
	}
	if n := len(l.open); n > 0 {
		return nil, l.at(l.open[n-1].offset, "{%% %s %%} is not closed; add {%% end%s %%}", l.open[n-1].name, l.open[n-1].name)
	}
	return l.names, nil
}

func (l *linter) at(offset int, format string, args ...any) *Error {
	line, column := position(l.source, offset)
	return &Error{Line: line, Column: column, Message: fmt.Sprintf(format, args...)}
}

func position(source string, offset int) (line, column int) {
	before := source[:offset]
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
}

// text finds delimiters the scanner did not recognise, which Liquid would print.
func (l *linter) text(s string) *Error {
	for _, delimiter := range []string{"{{", "{%"} {
		if i := strings.Index(s, delimiter); i >= 0 {
			return l.at(l.offset+i, "%s is not closed on its line, or empty; write it on one line, or wrap it in {%% raw %%} to print it", delimiter)
		}
	}
	return nil
}

func (l *linter) output(token parser.Token) *Error {
	return l.expression(token, token.Args, func() error {
		_, err := expressions.Parse(token.Args)
		return err
	})
}

func (l *linter) tag(token parser.Token) *Error {
	name := token.Name
	if _, ok := blockTags[name]; ok {
		l.open = append(l.open, openBlock{name, l.offset})
		if err := l.checkDepth(); err != nil {
			return err
		}
		return l.arguments(token)
	}
	inside := ""
	if n := len(l.open); n > 0 {
		inside = l.open[n-1].name
	}
	if opened, ok := strings.CutPrefix(name, "end"); ok && isBlock(opened) {
		if inside != opened {
			return l.at(l.offset, "{%% %s %%} closes nothing here; %s", name, expecting(inside))
		}
		l.open = l.open[:len(l.open)-1]
		return nil
	}
	switch {
	case name == "else" || name == "elsif" || name == "when":
		if !slices.Contains(blockTags[inside], name) {
			return l.at(l.offset, "{%% %s %%} does not belong here; %s", name, expecting(inside))
		}
		return l.arguments(token)
	case slices.Contains(simpleTags, name):
		return l.arguments(token)
	}
	return l.at(l.offset, "unknown tag %q; the tags are assign, capture, case, comment, for, if, raw, tablerow and unless", clip(name))
}

func isBlock(name string) bool {
	_, ok := blockTags[name]
	return ok || name == "raw" || name == "comment"
}

func expecting(inside string) string {
	if inside == "" {
		return "no block is open"
	}
	return fmt.Sprintf("the open block is {%% %s %%}", inside)
}

func (l *linter) checkDepth() *Error {
	if len(l.open) > MaxDepth {
		return l.at(l.offset, "blocks nest deeper than %d; simplify the template", MaxDepth)
	}
	return nil
}

// arguments parses what follows a tag's name, to find errors where they are.
func (l *linter) arguments(token parser.Token) *Error {
	statement := func(selector string) func() error {
		return func() error {
			_, err := expressions.ParseStatement(selector, token.Args)
			return err
		}
	}
	switch token.Name {
	case "if", "elsif", "unless", "case":
		return l.output(token)
	case "when":
		return l.expression(token, token.Args, statement(expressions.WhenStatementSelector))
	case "for", "tablerow":
		return l.expression(token, token.Args, statement(expressions.LoopStatementSelector))
	case "assign":
		if target, _, _ := strings.Cut(token.Args, "="); strings.Contains(target, ".") {
			return l.at(l.offset, "assign sets a plain name; remove the dot")
		}
		return l.expression(token, token.Args, statement(expressions.AssignStatementSelector))
	case "capture":
		if !isName(token.Args) {
			return l.at(l.offset, "capture takes one plain name, as in {%% capture title %%}")
		}
	}
	return nil
}

func isName(s string) bool {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || (!unicode.IsDigit(r) && r != '-')) {
			return false
		}
	}
	return s != ""
}

// expression checks the text of an expression, then lets the library parse it.
func (l *linter) expression(token parser.Token, args string, parse func() error) (lintErr *Error) {
	if len(token.Source) > MaxTag {
		return l.at(l.offset, "this tag is longer than %d bytes; assign parts of it first", MaxTag)
	}
	start := l.offset + max(strings.Index(token.Source, args), 0)
	if strings.HasPrefix(strings.TrimSpace(args), "%") || strings.HasPrefix(strings.TrimSpace(args), "{") {
		return l.at(start, "an expression can't start with %q", strings.TrimSpace(args)[:1])
	}
	if err := l.words(args, start); err != nil {
		return err
	}
	defer func() {
		// The library panics on numbers out of range and on odd identifiers.
		if r := recover(); r != nil {
			lintErr = l.at(start, "this can't be read (%s); check quotes and numbers", brief(r))
		}
	}()
	if err := parse(); err != nil {
		return l.at(start, "%s; check names, quotes and operators", brief(err))
	}
	return nil
}

// words scans an expression for names, filters and nesting.
func (l *linter) words(args string, start int) *Error {
	depth, previous := 0, byte(0) // the last byte that is no space
	for i := 0; i < len(args); {
		c := args[i]
		switch {
		case c == '"' || c == '\'':
			i = endOfString(args, i)
		case c == '_' || c >= utf8.RuneSelf || unicode.IsLetter(rune(c)):
			j := i + 1
			for j < len(args) && isWordByte(args[j]) {
				j++
			}
			if err := l.word(args[i:j], previous, start+i); err != nil {
				return err
			}
			i = j
		case c == '(' || c == '[':
			if depth++; depth > MaxDepth {
				return l.at(start+i, "brackets nest deeper than %d; assign parts first", MaxDepth)
			}
			i++
		case c == ')' || c == ']':
			depth--
			i++
		case strings.HasPrefix(args[i:], ".."):
			c = ' ' // a range: what follows is a name, not a property
			previous = 0
			i += 2
		default:
			i++
		}
		if c != ' ' && c != '\t' {
			previous = c
		}
	}
	return nil
}

func endOfString(args string, i int) int {
	quote := args[i]
	for i++; i < len(args); i++ {
		if args[i] == '\\' && quote == '"' {
			i++
		} else if args[i] == quote {
			return i + 1
		}
	}
	return len(args)
}

func isWordByte(c byte) bool {
	return c == '_' || c == '-' || c >= utf8.RuneSelf || unicode.IsLetter(rune(c)) || unicode.IsDigit(rune(c))
}

func (l *linter) word(word string, previous byte, offset int) *Error {
	switch {
	case previous == '|':
		if !isFilter(word) {
			return l.at(offset, "unknown filter %q; the filters are %s", clip(word), strings.Join(Filters(), ", "))
		}
	case previous == '.':
	case word == "blank" || word == "empty":
		return l.at(offset, "%q is not a value in this dialect: compare with \"\" or use .size == 0", word)
	default:
		l.names[word] = true
	}
	return nil
}

func clip(s string) string {
	if len(s) > 50 {
		return strings.ToValidUTF8(s[:50], "") + "…"
	}
	return s
}
