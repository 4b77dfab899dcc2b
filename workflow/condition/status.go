package condition

import (
	"fmt"
	"slices"
	"strings"
)

// statusRanks order what can have become of a message, how it travelled and what its
// recipient did with it. skipped is no rank: there is no message.
var statusRanks = map[string]int{
	"undelivered": 1, "bounced": 2, "delivery_attempted": 3, "queued": 4, "not_sent": 5, "sent": 6, "delivered": 7,
	"seen": 8, "read": 9, "interacted": 10, "link_clicked": 10, "archived": 11,
}

// StatusRank orders the statuses of messages, from undelivered (1) to archived; 0 is
// skipped, or no status at all. The message that speaks for a step with several
// is the one with the highest rank, of its delivery or its engagement.
func StatusRank(status string) int { return statusRanks[status] }

// statusKind says which tokens go with which field and operators. The second
// operator is the negation of the first.
type statusKind struct {
	field     string
	operators []string
	tokens    []string
	holds     func(m messageStatus, token string) bool
}

var statusKinds = []statusKind{
	{"delivery_status", []string{"equal_to", "not_equal_to"}, []string{"skipped", "undelivered", "bounced"},
		func(m messageStatus, token string) bool { return m.delivery == token }},
	{"delivery_status", []string{"greater_than_or_equal_to", "less_than"}, []string{"sent", "delivered"},
		func(m messageStatus, token string) bool { return m.rank() >= StatusRank(token) }},
	{"engagement_status", []string{"contains", "not_contains"},
		[]string{"seen", "seen_not_read", "read", "read_not_link_clicked", "interacted", "link_clicked", "archived"}, messageStatus.engaged},
}

func (k statusKind) String() string {
	quoted := make([]string, len(k.tokens))
	for i, token := range k.tokens {
		quoted[i] = fmt.Sprintf("%q", tokenPrefix+token)
	}
	return fmt.Sprintf("%s with %s", strings.Join(k.operators, " or "), strings.Join(quoted, ", "))
}

// isStatus says that a path is refs.<ref>.delivery_status or engagement_status.
func isStatus(p path) bool {
	return len(p) == 3 && p[0] == "refs" && slices.ContainsFunc(statusKinds, func(k statusKind) bool { return k.field == p[2] })
}

func (c check) compileStatus() (func(*evaluation) (bool, error), *Error) {
	if !isStatus(c.variable) {
		return nil, at(c.where+".argument", "%q is a status of a message; the variable must be refs.<ref>.delivery_status or refs.<ref>.engagement_status", clip(c.argument.token))
	}
	field := c.variable[2]
	if c.argument.token == "" {
		return nil, at(c.where+".argument", "%s goes with status tokens only: %s", field, tokensOf(field))
	}
	token := strings.TrimPrefix(c.argument.token, tokenPrefix)
	i := slices.IndexFunc(statusKinds, func(k statusKind) bool { return slices.Contains(k.tokens, token) })
	if i < 0 {
		return nil, at(c.where+".argument", "%q is not a status; %s goes with %s", clip(c.argument.token), field, tokensOf(field))
	}
	kind := statusKinds[i]
	if kind.field != field {
		return nil, at(c.where+".variable", "%q is about refs.%s.%s; change the variable, or use %s", c.argument.token, c.variable[1], kind.field, tokensOf(field))
	}
	wanted := c.operator == kind.operators[0]
	if !wanted && c.operator != kind.operators[1] {
		return nil, at(c.where+".operator", "%q goes with %s", c.argument.token, strings.Join(kind.operators, " or "))
	}
	step := c.variable[:2]
	return func(e *evaluation) (bool, error) {
		m := statusOf(step, e.scope)
		return m.known && kind.holds(m, token) == wanted, e.spend(1 + len(m.engagement))
	}, nil
}

func tokensOf(field string) string {
	var kinds []string
	for _, k := range statusKinds {
		if k.field == field {
			kinds = append(kinds, k.String())
		}
	}
	return strings.Join(kinds, "; ")
}

// messageStatus is what a step's message has come to.
type messageStatus struct {
	known      bool
	delivery   string
	engagement []any
}

func statusOf(step path, scope Scope) messageStatus {
	v, _ := step.lookup(scope)
	fields, _ := v.(map[string]any)
	m := messageStatus{known: fields["status_known"] != false}
	m.delivery, _ = fields["delivery_status"].(string)
	m.engagement, _ = fields["engagement_status"].([]any)
	return m
}

// rank is how far the message got. A message that somebody engages with has been
// delivered, whatever the provider says.
func (m messageStatus) rank() int {
	rank := StatusRank(m.delivery)
	if m.delivery == "skipped" {
		return rank
	}
	for _, v := range m.engagement {
		if s, _ := v.(string); StatusRank(s) > StatusRank("delivered") {
			return max(rank, StatusRank("delivered"))
		}
	}
	return rank
}

func (m messageStatus) engaged(token string) bool {
	wanted, unwanted, _ := strings.Cut(token, "_not_")
	return slices.Contains(m.engagement, any(wanted)) && (unwanted == "" || !slices.Contains(m.engagement, any(unwanted)))
}
