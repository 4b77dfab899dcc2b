package model

import (
	"strings"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
)

// NewUserConnection makes the API's form of a page of users.
func NewUserConnection(page *recipient.Page, continued bool) *UserConnection {
	out := &UserConnection{Edges: make([]UserEdge, len(page.Recipients)), PageInfo: pageInfo(page, continued)}
	for i := range page.Recipients {
		out.Edges[i] = UserEdge{Cursor: idCursor(page.Recipients[i].ExternalID), Node: *NewUser(&page.Recipients[i])}
	}
	return out
}

// NewObjectConnection makes the API's form of a page of objects.
func NewObjectConnection(page *recipient.Page, continued bool) *ObjectConnection {
	out := &ObjectConnection{Edges: make([]ObjectEdge, len(page.Recipients)), PageInfo: pageInfo(page, continued)}
	for i := range page.Recipients {
		out.Edges[i] = ObjectEdge{Cursor: idCursor(page.Recipients[i].ExternalID), Node: *NewObject(&page.Recipients[i])}
	}
	return out
}

// NewTenantConnection makes the API's form of a page of tenants.
func NewTenantConnection(page *recipient.Page, continued bool) *TenantConnection {
	out := &TenantConnection{Edges: make([]TenantEdge, len(page.Recipients)), PageInfo: pageInfo(page, continued)}
	for i := range page.Recipients {
		out.Edges[i] = TenantEdge{Cursor: idCursor(page.Recipients[i].ExternalID), Node: *NewTenant(&page.Recipients[i])}
	}
	return out
}

func pageInfo(page *recipient.Page, continued bool) PageInfo {
	out := PageInfo{HasNextPage: page.More, HasPreviousPage: continued}
	if len(page.Recipients) > 0 {
		start := idCursor(page.Recipients[0].ExternalID)
		out.StartCursor = &start
	}
	if page.End != "" {
		end := idCursor(page.End)
		out.EndCursor = &end
	}
	return out
}

// Data is what the input says about a channel; field names it for errors.
func (in *SetChannelDataInput) Data(field string) (belfry.ChannelData, error) {
	out := belfry.ChannelData{Channel: in.Channel, Slack: in.Slack, MSTeams: in.MsTeams, Discord: in.Discord}
	if in.Push == nil {
		return out, nil
	}
	if len(in.Push.Tokens)+len(in.Push.Devices) > recipient.MaxConnections { // before looking at each
		return out, belfry.Beyond(field+".push", recipient.MaxConnections, "tokens and devices together")
	}
	out.Push = &belfry.PushData{Devices: in.Push.Devices}
	for _, token := range in.Push.Tokens {
		out.Push.Devices = append(out.Push.Devices, belfry.PushDevice{Token: token})
	}
	return out, nil
}

// Property is the name of the property that the field is.
func (f ProfileField) Property() string { return strings.ToLower(string(f)) }

// ProfileFields are the fields that properties are.
func ProfileFields(properties []string) []ProfileField {
	out := make([]ProfileField, len(properties))
	for i, p := range properties {
		out[i] = ProfileField(strings.ToUpper(p))
	}
	return out
}
