package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// word is a word of a statement: text, "quoted text", {json}, or key= and one of these.
type word struct {
	key, text string
	json      json.RawMessage // objects and lists; text is the same
	quoted    bool
}

// words are what is left of a statement to be read.
type words []word

var keyPattern = regexp.MustCompile(`^[a-zA-Z_$][a-zA-Z0-9_.$/-]*=`)

// splitWords reads a statement.
func splitWords(text string) (words, error) {
	var out words
	for {
		text = strings.TrimLeft(text, " \t\n")
		if text == "" {
			return out, nil
		}
		var w word
		if key := keyPattern.FindString(text); key != "" {
			w.key, text = strings.TrimSuffix(key, "="), text[len(key):]
		}
		switch {
		case text != "" && strings.ContainsRune(`"{[`, rune(text[0])):
			decoder := json.NewDecoder(strings.NewReader(text))
			var raw json.RawMessage
			if err := decoder.Decode(&raw); err != nil {
				return nil, fmt.Errorf("not JSON: %w: %.60s", err, text)
			}
			text = text[decoder.InputOffset():]
			if raw[0] == '"' {
				w.quoted = true
				if err := json.Unmarshal(raw, &w.text); err != nil {
					return nil, err
				}
			} else {
				w.json, w.text = raw, string(raw)
			}
		default:
			end := strings.IndexAny(text, " \t\n")
			if end < 0 {
				end = len(text)
			}
			w.text, text = text[:end], text[end:]
		}
		out = append(out, w)
	}
}

// next takes the next word that has no key.
func (w *words) next() (word, bool) {
	for i, word := range *w {
		if word.key == "" {
			*w = append(append(words{}, (*w)[:i]...), (*w)[i+1:]...)
			return word, true
		}
	}
	return word{}, false
}

// text is the next word without a key as text; empty if there is none.
func (w *words) text() string {
	next, _ := w.next()
	return next.text
}

// flag takes a word, wherever it stands.
func (w *words) flag(name string) bool {
	for i, word := range *w {
		if word.key == "" && word.text == name && !word.quoted {
			*w = append(append(words{}, (*w)[:i]...), (*w)[i+1:]...)
			return true
		}
	}
	return false
}

// value takes the word with a key.
func (w *words) value(key string) (word, bool) {
	for i, word := range *w {
		if word.key == key {
			*w = append(append(words{}, (*w)[:i]...), (*w)[i+1:]...)
			return word, true
		}
	}
	return word{}, false
}

// list takes the word with a key as a list: a,b,c.
func (w *words) list(key string) []string {
	v, ok := w.value(key)
	if !ok {
		return nil
	}
	if v.text == "" {
		return []string{}
	}
	return strings.Split(v.text, ",")
}

// after cuts everything behind a word off, and returns it.
func (w *words) after(name string) (words, bool) {
	for i, word := range *w {
		if word.key == "" && word.text == name && !word.quoted {
			rest := (*w)[i+1:]
			*w = (*w)[:i]
			return rest, true
		}
	}
	return nil, false
}

func (w words) String() string {
	var out []string
	for _, word := range w {
		if word.key != "" {
			word.text = word.key + "=" + word.text
		}
		out = append(out, word.text)
	}
	return strings.Join(out, " ")
}

// object decodes a word as the engine decodes JSON.
func (w word) object() (map[string]any, error) {
	if w.json == nil {
		return nil, fmt.Errorf("%q is no JSON object", w.text)
	}
	return decodeObject(w.json)
}

// anything decodes a word as JSON, or takes it as text.
func (w word) anything() any {
	var v any
	if w.quoted || decode([]byte(w.text), &v) != nil {
		return w.text
	}
	return v
}

// sameJSON compares what two values are in JSON.
func sameJSON(a, b any) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(canonical(x), canonical(y))
}

func canonical(b []byte) []byte {
	var v any
	if json.Unmarshal(b, &v) != nil {
		return b
	}
	out, _ := json.Marshal(v)
	return out
}
