package template

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/osteele/liquid/values"
)

// valueWeight is what any value counts for besides its text.
const valueWeight = 32

// normalizer makes JSON values ready for Liquid, which takes nothing but int for
// ranges, limits and offsets, while bounding their size. Containers are copied
// only when something in them changes.
type normalizer struct{ left int }

func (n *normalizer) spend(bytes int) error {
	if n.left -= bytes + valueWeight; n.left < 0 {
		return &Error{Message: fmt.Sprintf("the data of the template is larger than %d bytes; pass less of it", MaxData)}
	}
	return nil
}

func (n *normalizer) normal(v any, depth int) (any, error) {
	if depth == 0 {
		return nil, &Error{Message: fmt.Sprintf("the data of the template nests deeper than %d levels; flatten it", MaxDataDepth)}
	}
	switch v := v.(type) {
	case string:
		return v, n.spend(len(v))
	case map[string]any:
		return n.object(v, depth)
	case []any:
		return n.list(v, depth)
	case float64, json.Number, int64, int32, float32:
		return integral(v), n.spend(0)
	case nil, bool, int, time.Time:
		return v, n.spend(0)
	default:
		// Methods of other types could be called from templates.
		return nil, &Error{Message: fmt.Sprintf("the template was given a %T; pass what JSON can hold", v)}
	}
}

func (n *normalizer) object(v map[string]any, depth int) (any, error) {
	if err := n.spend(0); err != nil {
		return nil, err
	}
	var changed map[string]any
	for key, old := range v {
		n.left -= len(key)
		fresh, err := n.normal(old, depth-1)
		if err != nil {
			return nil, err
		}
		if same(old, fresh) {
			continue
		}
		if changed == nil {
			changed = make(map[string]any, len(v))
		}
		changed[key] = fresh
	}
	if changed == nil {
		return v, nil
	}
	for key, old := range v {
		if _, ok := changed[key]; !ok {
			changed[key] = old
		}
	}
	return changed, nil
}

func (n *normalizer) list(v []any, depth int) (any, error) {
	if err := n.spend(0); err != nil {
		return nil, err
	}
	var changed []any
	for i, old := range v {
		fresh, err := n.normal(old, depth-1)
		if err != nil {
			return nil, err
		}
		if changed == nil && !same(old, fresh) {
			changed = append(make([]any, 0, len(v)), v...)
		}
		if changed != nil {
			changed[i] = fresh
		}
	}
	if changed == nil {
		return v, nil
	}
	return changed, nil
}

// same reports whether normal gave back what it got, without comparing deeply.
func same(old, fresh any) bool {
	switch old.(type) {
	case map[string]any, []any:
		return reflect.ValueOf(old).Pointer() == reflect.ValueOf(fresh).Pointer()
	case float64, json.Number, int64, int32, float32:
		return false
	default:
		return true
	}
}

// integral turns whole numbers into int and other numbers into float64.
func integral(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := strconv.Atoi(string(v)); err == nil {
			return i
		}
		if f, err := v.Float64(); err == nil {
			return integral(f)
		}
		return string(v)
	case int64:
		return int(v)
	case int32:
		return int(v)
	case float32:
		return integral(float64(v))
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int(v)
		}
	}
	return v
}

// weight measures a value like the normalizer does, up to a limit.
func weight(v any, limit int) int {
	switch v := v.(type) {
	case string:
		return len(v) + valueWeight
	case []byte:
		return len(v) + valueWeight
	case values.SafeValue:
		return weight(v.Value, limit)
	case []any:
		total := valueWeight
		for _, item := range v {
			if total += weight(item, limit-total); total > limit {
				break
			}
		}
		return total
	case map[string]any:
		total := valueWeight
		for key, item := range v {
			if total += len(key) + weight(item, limit-total); total > limit {
				break
			}
		}
		return total
	case nil, bool, int, int64, float64, time.Time:
		return valueWeight
	}
	return reflectedWeight(reflect.ValueOf(v), limit)
}

// reflectedWeight measures the []string and [][]any the library makes.
func reflectedWeight(v reflect.Value, limit int) int {
	total := valueWeight
	if v.Kind() != reflect.Slice && v.Kind() != reflect.Array {
		return total
	}
	for i := range v.Len() {
		if total += weight(v.Index(i).Interface(), limit-total); total > limit {
			break
		}
	}
	return total
}
