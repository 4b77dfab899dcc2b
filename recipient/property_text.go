package recipient

import (
	"encoding/json"
	"strconv"
	"strings"
)

// decodeProperties reads the text of a jsonb column as json.Unmarshal does. Every run of a workflow reads somebody's properties, and
// nearly all are a few plain texts and numbers, which need no parser that is ready for anything.
func decodeProperties(text string) (map[string]any, error) {
	if flat, ok := decodeFlat(text); ok {
		return flat, nil
	}
	var out map[string]any
	err := json.Unmarshal([]byte(text), &out)
	return out, err
}

// decodeFlat decodes an object of texts without escapes, numbers, true, false and null, spaced as PostgreSQL does. It says false to
// everything else. It relies on that PostgreSQL wrote the text: not all that isn't JSON is noticed. Texts share the memory of the whole.
func decodeFlat(text string) (map[string]any, bool) {
	rest, ok := strings.CutPrefix(text, "{")
	if !ok {
		return nil, false
	}
	out := map[string]any{}
	for more := rest != "}"; more; rest, more = strings.CutPrefix(rest, ", ") {
		var name string
		if name, rest, ok = cutText(rest); !ok {
			return nil, false
		}
		if rest, ok = strings.CutPrefix(rest, ": "); !ok {
			return nil, false
		}
		if out[name], rest, ok = cutScalar(rest); !ok {
			return nil, false
		}
	}
	return out, rest == "}"
}

// cutText takes a text from the head of JSON, unless it has escapes.
func cutText(s string) (text, rest string, ok bool) {
	if s, ok = strings.CutPrefix(s, `"`); !ok {
		return "", "", false
	}
	text, rest, ok = strings.Cut(s, `"`)
	return text, rest, ok && strings.IndexByte(text, '\\') < 0
}

func cutScalar(s string) (v any, rest string, ok bool) {
	if strings.HasPrefix(s, `"`) {
		return cutText(s)
	}
	end := strings.IndexAny(s, ",}")
	if end < 0 {
		return nil, "", false
	}
	word, rest := s[:end], s[end:]
	switch word {
	case "true", "false":
		return word == "true", rest, true
	case "null":
		return nil, rest, true
	}
	n, err := strconv.ParseFloat(word, 64)
	return n, rest, err == nil
}
