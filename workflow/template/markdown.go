package template

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/util"
)

// MaxMarkdown is the longest source of Markdown, in bytes; MaxMarkup the longest
// HTML that may come of it.
const (
	MaxMarkdown = 64 << 10
	MaxMarkup   = 256 << 10
	// MaxMarkdownDepth is how deep quotes and lists nest on a line.
	MaxMarkdownDepth = 32
	// MaxBrackets is the number of "[", which links and images start with.
	MaxBrackets = 2000
	// MaxCells is the number of lines times the columns of the widest table:
	// every line may be a row, and short rows are filled up.
	MaxCells = 10_000
)

// markdown lets HTML through: the sanitiser decides what stays.
var markdown = sync.OnceValue(func() goldmark.Markdown {
	return goldmark.New(
		goldmark.WithExtensions(extension.GFM),
		goldmark.WithRendererOptions(html.WithUnsafe()),
	)
})

var sanitizer = sync.OnceValue(func() *bluemonday.Policy {
	p := bluemonday.UGCPolicy()
	p.RequireNoFollowOnLinks(true)
	p.AddTargetBlankToFullyQualifiedLinks(true) // adds rel="noopener"
	return p
})

// Markdown turns Markdown (GitHub's flavour, HTML allowed) into sanitised HTML:
// no scripts, styles, event handlers or frames; links to http, https, mailto and
// relative addresses only, with rel="nofollow", and "noopener" when they leave
// the site. An error is always an *[Error].
func Markdown(source string) (out string, err error) {
	if len(source) > MaxMarkdown {
		return "", &Error{Message: fmt.Sprintf("the Markdown is longer than %d bytes; shorten it", MaxMarkdown)}
	}
	if !utf8.ValidString(source) {
		return "", &Error{Message: "the Markdown is not valid UTF-8; save it as UTF-8"}
	}
	if err := guardMarkdown(source); err != nil {
		return "", err
	}
	defer func() {
		if r := recover(); r != nil {
			out, err = "", &Error{Message: fmt.Sprintf("this Markdown can't be read (%s); write it differently", brief(r))}
		}
	}()
	w := markupWriters.Get().(*markupWriter)
	w.Reset()
	if err := markdown().Convert([]byte(source), w); err != nil {
		return "", &Error{Message: brief(err)}
	}
	out = clean(sanitize(w.Bytes()))
	if w.Cap() <= MaxMarkup {
		markupWriters.Put(w)
	}
	if len(out) > MaxMarkup {
		return "", &Error{Message: fmt.Sprintf("the HTML is longer than %d bytes; shorten the text", MaxMarkup)}
	}
	return out, nil
}

// markupWriter takes what the renderer writes without another buffer in between.
type markupWriter struct{ bytes.Buffer }

var markupWriters = sync.Pool{New: func() any { return &markupWriter{} }}

// Buffered and Flush make it a util.BufWriter.
func (w *markupWriter) Buffered() int { return 0 }

// Flush has nothing to do.
func (w *markupWriter) Flush() error { return nil }

var _ util.BufWriter = (*markupWriter)(nil)

// guardMarkdown refuses what takes the parser seconds or makes megabytes.
func guardMarkdown(source string) error {
	if strings.Count(source, "[") > MaxBrackets {
		return &Error{Message: fmt.Sprintf("the Markdown has more than %d brackets; shorten it", MaxBrackets)}
	}
	lines, columns := 0, 0
	for line := range strings.Lines(source) {
		lines++
		if containerDepth(line) > MaxMarkdownDepth {
			return &Error{Line: lines, Message: fmt.Sprintf("quotes or lists nest deeper than %d; flatten them", MaxMarkdownDepth)}
		}
		if strings.Trim(line, "|:- \t\r\n>") == "" { // the line below a table's head
			columns = max(columns, strings.Count(line, "|")+1)
		}
	}
	if columns > 1 && lines*columns > MaxCells {
		return &Error{Message: fmt.Sprintf("tables of the Markdown may have more than %d cells; shorten it", MaxCells)}
	}
	return nil
}

// containerDepth counts the markers of quotes and lists a line starts with.
func containerDepth(line string) int {
	depth := 0
	for line != "" {
		rest := strings.TrimLeft(strings.TrimLeft(line, " \t"), "0123456789")
		if rest == "" {
			break
		}
		listItem := strings.IndexByte("-+*.)", rest[0]) >= 0 && len(rest) > 1 && (rest[1] == ' ' || rest[1] == '\t')
		if rest[0] != '>' && !listItem {
			break
		}
		depth++
		line = rest[1:]
	}
	return depth
}
