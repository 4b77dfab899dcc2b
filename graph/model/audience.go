package model

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
)

// Audience is an audience as the API shows it.
type Audience struct {
	*recipient.Audience
}

// Condition is its expression, if it has one.
func (a *Audience) Condition() *string { return optional(a.Audience.Condition) }

// Conditions is its group of conditions, if it has one.
func (a *Audience) Conditions() (map[string]any, error) {
	if a.Audience.Conditions == nil {
		return nil, nil
	}
	var out map[string]any
	err := json.Unmarshal(a.Audience.Conditions, &out)
	return out, err
}

// NewAudienceConnection makes the API's form of a page of audiences.
func NewAudienceConnection(page []recipient.Audience, more, behind bool) *AudienceConnection {
	out := &AudienceConnection{Edges: make([]AudienceEdge, len(page)), PageInfo: PageInfo{HasNextPage: more, HasPreviousPage: behind}}
	for i := range page {
		out.Edges[i] = AudienceEdge{Cursor: page[i].Key, Node: Audience{&page[i]}}
	}
	if len(page) > 0 {
		out.PageInfo.StartCursor, out.PageInfo.EndCursor = &out.Edges[0].Cursor, &out.Edges[len(page)-1].Cursor
	}
	return out
}

// NewAudienceMemberConnection makes the API's form of a page of members.
func NewAudienceMemberConnection(page []recipient.Member, more, behind bool) *AudienceMemberConnection {
	out := &AudienceMemberConnection{Edges: make([]AudienceMemberEdge, len(page)), PageInfo: PageInfo{HasNextPage: more, HasPreviousPage: behind}}
	for i, m := range page {
		cursor := globalID(memberTag, fmt.Sprintf("%d:%d", m.Tenant, m.User))
		out.Edges[i] = AudienceMemberEdge{Cursor: cursor, Node: AudienceMember{User: m.UserID, Tenant: optional(m.TenantID), Since: m.Since}}
	}
	if len(page) > 0 {
		out.PageInfo.StartCursor, out.PageInfo.EndCursor = &out.Edges[0].Cursor, &out.Edges[len(page)-1].Cursor
	}
	return out
}

// ParseMemberCursor reads a member's place in a list; false for what is none.
func ParseMemberCursor(cursor string) (recipient.Member, bool) {
	tag, key, ok := ParseID(cursor)
	first, second, both := strings.Cut(key, ":")
	tenant, err1 := strconv.ParseInt(first, 10, 64)
	user, err2 := strconv.ParseInt(second, 10, 64)
	return recipient.Member{Tenant: belfry.RecipientID(tenant), User: belfry.RecipientID(user)}, ok && both && tag == memberTag && err1 == nil && err2 == nil
}

// Audience is what the input says.
func (in *UpsertAudienceInput) Audience() (recipient.Audience, error) {
	a := recipient.Audience{Key: in.Key, Name: in.Name, Condition: given(in.Condition)}
	if in.Conditions != nil {
		b, err := json.Marshal(in.Conditions)
		if err != nil {
			return a, belfry.Errorf(belfry.Invalid, "not representable as JSON").At("input.conditions")
		}
		a.Conditions = b
	}
	return a, nil
}

// Parties is who the input names.
func (in *AddAudienceMembersInput) Parties() ([]recipient.Party, error) {
	if len(in.Users) > recipient.MaxAudienceMembers { // before looking at each
		return nil, belfry.Beyond("input.users", recipient.MaxAudienceMembers, "users a call")
	}
	out := make([]recipient.Party, len(in.Users))
	for i := range in.Users {
		p, err := in.Users[i].Party(fmt.Sprintf("input.users[%d]", i))
		if err != nil {
			return nil, err
		}
		out[i] = recipient.Party{Ref: p.Ref, Identify: p.Identify}
	}
	return out, nil
}

// Refs is who the input names.
func (in *RemoveAudienceMembersInput) Refs() ([]belfry.RecipientRef, error) {
	if len(in.Users) > recipient.MaxAudienceMembers {
		return nil, belfry.Beyond("input.users", recipient.MaxAudienceMembers, "users a call")
	}
	out := make([]belfry.RecipientRef, len(in.Users))
	for i, id := range in.Users {
		if err := belfry.ValidateExternalID(id, fmt.Sprintf("input.users[%d]", i)); err != nil {
			return nil, err
		}
		out[i] = belfry.User(id)
	}
	return out, nil
}
