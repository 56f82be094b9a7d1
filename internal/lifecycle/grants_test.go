package lifecycle

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

func names(names ...v1alpha1.NamespaceName) v1alpha1.GrantedNamespaces {
	return v1alpha1.GrantedNamespaces{Names: names}
}

func labelled(labels map[string]v1alpha1.LabelValue) v1alpha1.GrantedNamespaces {
	return v1alpha1.GrantedNamespaces{Selector: &v1alpha1.NamespaceSelector{MatchLabels: labels}}
}

func TestGrants(t *testing.T) {
	shop := Tenant{Name: "shop", Labels: map[string]string{"seam": "allowed", "team": "a"}}
	key := func(key string) seam.Selector { return seam.Selector{UserIdentifierKey: key} }
	id := seam.Selector{ClientSessionID: "cst1"}
	prefixes := func(prefixes ...v1alpha1.KeyPrefix) []v1alpha1.KeyPrefix { return prefixes }
	tests := []struct {
		name     string
		grants   []v1alpha1.Grant
		tenant   Tenant
		selector seam.Selector
		want     bool
		anything bool
	}{
		{"no grant", nil, shop, id, false, false},
		{"the workspace's own namespace", nil, Tenant{Name: "platform"}, id, true, true},
		{"by name, any key", []v1alpha1.Grant{{Namespaces: names("garage", "shop")}}, shop, key("x"), true, true},
		{"by name, by session ID", []v1alpha1.Grant{{Namespaces: names("shop")}}, shop, id, true, true},
		{"another name that begins so", []v1alpha1.Grant{{Namespaces: names("sho", "shop-2")}}, shop, id, false, false},
		{"by label", []v1alpha1.Grant{{Namespaces: labelled(map[string]v1alpha1.LabelValue{"seam": "allowed"})}}, shop, id, true, true},
		{"by labels, one of which differs", []v1alpha1.Grant{{Namespaces: labelled(map[string]v1alpha1.LabelValue{"seam": "allowed", "team": "b"})}}, shop, id, false, false},
		{"by a label that is absent and asked to be empty", []v1alpha1.Grant{{Namespaces: labelled(map[string]v1alpha1.LabelValue{"none": ""})}}, shop, id, false, false},
		{"by label, of a namespace whose labels are not known", []v1alpha1.Grant{{Namespaces: labelled(map[string]v1alpha1.LabelValue{"seam": "allowed"})}}, Tenant{Name: "shop"}, id, false, false},
		{"by a selector without labels", []v1alpha1.Grant{{Namespaces: labelled(nil)}}, shop, id, false, false},
		{"by neither name nor selector", []v1alpha1.Grant{{}}, shop, id, false, false},
		{"a key with the prefix", []v1alpha1.Grant{{Namespaces: names("shop"), UserIdentifierKeyPrefixes: prefixes("garage-", "shop-")}}, shop, key("shop-jane"), true, true},
		{"a key that is the prefix", []v1alpha1.Grant{{Namespaces: names("shop"), UserIdentifierKeyPrefixes: prefixes("shop-")}}, shop, key("shop-"), true, true},
		{"a key that begins like the prefix", []v1alpha1.Grant{{Namespaces: names("shop"), UserIdentifierKeyPrefixes: prefixes("shop-")}}, shop, key("shopping-x"), false, true},
		{"a key in other letters", []v1alpha1.Grant{{Namespaces: names("shop"), UserIdentifierKeyPrefixes: prefixes("shop-")}}, shop, key("Shop-jane"), false, true},
		{"a session ID where there are prefixes", []v1alpha1.Grant{{Namespaces: names("shop"), UserIdentifierKeyPrefixes: prefixes("cst")}}, shop, id, false, true},
		{"an empty prefix", []v1alpha1.Grant{{Namespaces: names("shop"), UserIdentifierKeyPrefixes: prefixes("")}}, shop, key("shop-jane"), false, true},
		{"namespace from one grant, prefix from another", []v1alpha1.Grant{
			{Namespaces: names("shop"), UserIdentifierKeyPrefixes: prefixes("shop-")},
			{Namespaces: names("garage"), UserIdentifierKeyPrefixes: prefixes("garage-")},
		}, shop, key("garage-jim"), false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			workspace := &v1alpha1.SeamWorkspace{
				ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "production"}, Spec: v1alpha1.SeamWorkspaceSpec{Grants: test.grants},
			}
			if got := Grants(workspace, test.tenant, test.selector); got != test.want {
				t.Errorf("Grants is %t, must be %t", got, test.want)
			}
			if got := GrantsAnything(workspace, test.tenant); got != test.anything {
				t.Errorf("GrantsAnything is %t, must be %t", got, test.anything)
			}
		})
	}
}
