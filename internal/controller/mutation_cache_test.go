package controller

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func secretAt(resourceVersion string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "jane", UID: "1", ResourceVersion: resourceVersion}}
}

func TestAMutationIsBelievedUntilTheCacheHasCaughtUp(t *testing.T) {
	var secrets mutationCache[*corev1.Secret]
	key := client.ObjectKeyFromObject(secretAt("9"))

	secrets.saved(secretAt("10"), dawn)
	if got := secrets.newest(secretAt("9")); got.ResourceVersion != "10" {
		t.Errorf("a cache that is behind is believed: version %s", got.ResourceVersion)
	}
	if got, ok := secrets.missing(key, dawn.Add(cacheLag)); !ok || got.ResourceVersion != "10" {
		t.Error("what the cache does not show yet is forgotten")
	}
	if got := secrets.newest(secretAt("11")); got.ResourceVersion != "11" {
		t.Errorf("a cache that is ahead is not believed: version %s", got.ResourceVersion)
	}
	if _, ok := secrets.missing(key, dawn); ok {
		t.Error("what the cache has shown is still remembered")
	}
}

func TestAMutationIsNotBelievedForEver(t *testing.T) {
	var secrets mutationCache[*corev1.Secret]
	key := client.ObjectKeyFromObject(secretAt("10"))
	secrets.saved(secretAt("10"), dawn)
	if _, ok := secrets.missing(key, dawn.Add(cacheLag+time.Second)); ok {
		t.Error("a Secret that the cache never shows is believed to be there")
	}
}
