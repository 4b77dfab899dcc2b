package feed

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/internal/memo"
)

// NewNotice makes the publishable form of an event, which nobody may change from then on: it is handed over to those who
// listen in this process, if it would come out of its payload just as it is. A payload of more than 64 KiB is left out.
func NewNotice(topic string, e *Event) (Notice, error) {
	n := Notice{Topic: topic, Version: e.Position.Version}
	payload, err := appendEvent(make([]byte, 0, usualPayload), e)
	asItIs := err == nil && utf8.Valid(payload) && e.plain()
	if err != nil || !utf8.Valid(payload) { // encoding/json knows what to make of it
		payload, err = encodeEvent(e)
	}
	if err != nil || len(payload) > maxPayload {
		return n, err
	}
	if n.Payload = payload; asItIs {
		n.Memo = &memo.Memo{}
		e.Memo = n.Memo
		n.Memo.Do(decoded{}, func() any { return e })
	}
	return n, nil
}

// usualPayload is how many bytes an event has, or fewer.
const usualPayload = 1 << 10

// encodeEvent encodes any event. What it shows is often HTML, whose escapes would only be undone.
func encodeEvent(e *Event) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(e)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// plain reports whether the event is the same after it was encoded and decoded: empty lists would be nil.
func (e *Event) plain() bool {
	if e.Seqs != nil && len(e.Seqs) == 0 {
		return false
	}
	if e.Item == nil {
		return true
	}
	c := &e.Item.Content
	return !(e.Item.Actors != nil && len(e.Item.Actors) == 0 || c.Buttons != nil && len(c.Buttons) == 0 || c.Data != nil && len(c.Data) == 0) && (c.Data == nil || plain(c.Data))
}

func plain(v any) bool {
	switch v := v.(type) {
	case nil, bool, float64:
		return true
	case string:
		return utf8.ValidString(v)
	case map[string]any:
		for k, e := range v {
			if !utf8.ValidString(k) || !plain(e) {
				return false
			}
		}
		return v != nil
	case []any:
		for _, e := range v {
			if !plain(e) {
				return false
			}
		}
		return v != nil
	}
	return false // a number of another kind becomes a float64
}

// appendEvent is encodeEvent for text that is valid UTF-8, which the caller has to see to.
func appendEvent(b []byte, e *Event) (_ []byte, err error) {
	if e.Filter != nil {
		return b, errRare
	}
	b = appendText(append(b, `{"kind":`...), string(e.Kind))
	b = appendNumber(b, `,"position":{"Epoch":`, e.Position.Epoch)
	b = appendNumber(b, `,"Version":`, e.Position.Version)
	b = appendNumber(b, `},"badge":{"Total":`, int64(e.Badge.Total))
	b = appendNumber(b, `,"Unseen":`, int64(e.Badge.Unseen))
	b = appendNumber(b, `,"Unread":`, int64(e.Badge.Unread))
	b = append(b, '}')
	if e.Item != nil {
		if b, err = appendItem(append(b, `,"item":`...), e.Item); err != nil {
			return b, err
		}
	}
	if e.Mark != "" {
		b = appendText(append(b, `,"mark":`...), string(e.Mark))
	}
	if e.Removal != "" {
		b = appendText(append(b, `,"removal":`...), string(e.Removal))
	}
	if e.Recipient != 0 {
		b = appendNumber(b, `,"recipient":`, int64(e.Recipient))
	}
	if len(e.Seqs) > 0 {
		b = appendList(append(b, `,"seqs":`...), e.Seqs, func(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) })
	}
	if e.UpTo != 0 {
		b = appendNumber(b, `,"upTo":`, e.UpTo)
	}
	if !e.At.IsZero() {
		if b, err = appendTime(append(b, `,"at":`...), &e.At); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

func appendItem(b []byte, i *Item) (_ []byte, err error) {
	if i.PinnedAt != nil || i.State.SnoozedUntil != nil {
		return b, errRare
	}
	b = appendNumber(b, `{"ID":{"Recipient":`, int64(i.ID.Recipient))
	b = appendText(append(b, `,"Channel":`...), i.ID.Channel)
	b = appendNumber(b, `,"Seq":`, i.ID.Seq)
	b = appendNumber(b, `},"Epoch":`, i.Epoch)
	b = appendNumber(b, `,"Actor":`, int64(i.Actor))
	if len(i.Actors) > 0 {
		b = appendList(append(b, `,"Actors":`...), i.Actors, func(b []byte, id belfry.RecipientID) []byte { return strconv.AppendInt(b, int64(id), 10) })
	}
	b = appendNumber(b, `,"TotalActivities":`, int64(i.TotalActivities))
	b = appendNumber(b, `,"Tenant":`, int64(i.Tenant))
	b = appendText(append(b, `,"Workflow":`...), i.Workflow)
	b = appendText(append(b, `,"StepRef":`...), i.StepRef)
	b = appendList(append(b, `,"Categories":`...), i.Categories, appendText)
	if b, err = appendContent(append(b, `,"Content":{`...), &i.Content); err != nil {
		return b, err
	}
	if b, err = appendTime(append(b, `},"CreatedAt":`...), &i.CreatedAt); err != nil {
		return b, err
	}
	b = appendNumber(b, `,"State":{"Version":`, i.State.Version)
	b = appendNumber(b, `,"Level":`, int64(i.State.Level))
	b = strconv.AppendBool(append(b, `,"Archived":`...), i.State.Archived)
	for _, t := range []struct {
		key string
		at  *time.Time
	}{{"SeenAt", i.State.SeenAt}, {"ReadAt", i.State.ReadAt}, {"InteractedAt", i.State.InteractedAt}, {"ArchivedAt", i.State.ArchivedAt}} {
		b = append(append(append(b, `,"`...), t.key...), `":`...)
		if b, err = appendTime(b, t.at); err != nil {
			return b, err
		}
	}
	return append(b, `}}`...), nil
}

// appendContent appends the members of what items show.
func appendContent(b []byte, c *belfry.Content) (_ []byte, err error) {
	if c.Subject != "" || c.To != "" || len(c.Headers) > 0 || c.Request != nil || c.Item != nil {
		return b, errRare
	}
	before := len(b)
	if c.Body != (belfry.Body{}) {
		b = appendText(append(b, `,"body":{"format":`...), string(c.Body.Format))
		b = appendText(append(b, `,"content":`...), c.Body.Content)
		b = appendText(append(b, `,"rendered":`...), c.Body.Rendered)
		b = append(b, '}')
	}
	if c.ActionURL != "" {
		b = appendText(append(b, `,"actionUrl":`...), c.ActionURL)
	}
	if len(c.Buttons) > 0 {
		b = appendList(append(b, `,"buttons":`...), c.Buttons, func(b []byte, button belfry.Button) []byte {
			b = appendText(append(b, `{"label":`...), button.Label)
			return append(appendText(append(b, `,"action":`...), button.Action), '}')
		})
	}
	if len(c.Data) > 0 {
		data, err := json.Marshal(c.Data)
		if err != nil {
			return b, err
		}
		b = append(append(b, `,"data":`...), data...)
	}
	if len(b) > before {
		b = append(b[:before], b[before+1:]...) // the first comma
	}
	return b, nil
}

// errRare is for encoding/json.
var errRare = errors.New("something that few events have")

func appendNumber(b []byte, key string, n int64) []byte {
	return strconv.AppendInt(append(b, key...), n, 10)
}

func appendList[T any](b []byte, items []T, item func([]byte, T) []byte) []byte {
	if items == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = item(b, items[i])
	}
	return append(b, ']')
}

func appendTime(b []byte, t *time.Time) ([]byte, error) {
	if t == nil {
		return append(b, "null"...), nil
	}
	b, err := t.AppendText(append(b, '"'))
	return append(b, '"'), err
}

func appendText(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '\\' && c != '"' {
			continue
		}
		b = append(b, s[start:i]...)
		if c >= ' ' {
			b = append(b, '\\', c)
		} else {
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
		start = i + 1
	}
	return append(append(b, s[start:]...), '"')
}
