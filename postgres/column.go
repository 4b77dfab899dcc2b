package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"strings"
)

// JSONEncoder writes values for columns of type json. The zero value is ready. It is for one goroutine.
type JSONEncoder struct {
	text    bytes.Buffer
	encoder *json.Encoder
}

// Encode returns a value as JSON. A json column keeps its text as it is, and would take a NUL character, upon which whoever
// looks into it with SQL would fail: one fails here, as a data exception (see IsDataException), and undoes the transaction.
func (e *JSONEncoder) Encode(ctx context.Context, tx *Tx, v any) (string, error) {
	if e.encoder == nil {
		e.encoder = json.NewEncoder(&e.text)
		e.encoder.SetEscapeHTML(false) // it goes to a column, not into a page
	}
	e.text.Reset()
	if err := e.encoder.Encode(v); err != nil {
		return "", err
	}
	text := e.text.String()
	if strings.Contains(text, `\u0000`) { // or a backslash, and then u0000: the database knows
		if _, err := tx.Exec(ctx, `SELECT $1::text::jsonb`, text); err != nil {
			return "", err
		}
	}
	return text, nil
}

// BigintArray writes numbers as PostgreSQL writes an array of them; empty if there are none. For columns of arrays in a
// statement that unnests its arguments: arrays of arrays don't unnest, nor can they be ragged.
func BigintArray[T ~int64](numbers []T) string {
	if len(numbers) == 0 {
		return ""
	}
	b := []byte{'{'}
	for i, n := range numbers {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return string(append(b, '}'))
}
