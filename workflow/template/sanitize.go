package template

import (
	"bytes"
	"strings"
)

// sanitize leaves only harmless HTML. Most messages need no look at all: a paragraph with some emphasis.
func sanitize(markup []byte) string {
	if plain, ok := plainMarkup(markup); ok {
		return plain
	}
	return sanitizer().SanitizeReader(bytes.NewReader(markup)).String()
}

// plainTags can do no harm: they have no attributes, and the sanitiser lets them pass as they are.
var plainTags = func() map[string]bool {
	tags := map[string]bool{"<br>": true, "<hr>": true}
	for _, name := range []string{
		"p", "em", "strong", "del", "ul", "ol", "li", "code", "pre", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6",
	} {
		tags["<"+name+">"], tags["</"+name+">"] = true, true
	}
	return tags
}()

// longestPlainTag is "</blockquote>".
const longestPlainTag = 13

// plainMarkup returns what the sanitiser would make of HTML, if every "<" of it starts one of the plain tags and all else
// is text; otherwise it reports false. The sanitiser changes such HTML only in how it writes quotes.
func plainMarkup(markup []byte) (string, bool) {
	quotes := false
	for i := 0; i < len(markup); i++ {
		switch markup[i] {
		case '<':
			end := bytes.IndexByte(markup[i:min(i+longestPlainTag, len(markup))], '>')
			if end < 0 || !plainTags[string(markup[i:i+end+1])] {
				return "", false
			}
			i += end
		case '&':
			end := bytes.IndexByte(markup[i:min(i+len("&quot;"), len(markup))], ';')
			if end < 0 {
				return "", false
			}
			switch string(markup[i : i+end+1]) {
			case "&amp;", "&lt;", "&gt;":
			case "&quot;":
				quotes = true
			default:
				return "", false
			}
			i += end
		case '\'', '"':
			quotes = true
		case '>', '\r', 0:
			return "", false
		}
	}
	if quotes {
		return quoteWriter.Replace(string(markup)), true
	}
	return string(markup), true
}

var quoteWriter = strings.NewReplacer("&quot;", "&#34;", `"`, "&#34;", "'", "&#39;")
