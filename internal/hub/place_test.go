package hub

import (
	"strings"
	"testing"
)

// The first six were recorded in a hub of two partitions; the rest follow from the rule that was inferred.
func TestPlace(t *testing.T) {
	t.Parallel()
	counts := []int{2, 3, 4, 5, 8, 32}
	rows := []struct {
		key     string
		logical int
		want    []int
	}{
		{"test_partition_a", 3187, []int{0, 0, 0, 0, 0, 3}},
		{"test_partition_b", 15335, []int{0, 1, 1, 2, 3, 14}},
		{"test_partition_c", 192, []int{0, 0, 0, 0, 0, 0}},
		{"test_partition_d", 27774, []int{1, 2, 3, 4, 6, 27}},
		{"test_partition_e", 23921, []int{1, 2, 2, 3, 5, 23}},
		{"test_partition_f", 19518, []int{1, 1, 2, 2, 4, 19}},
		{"a", 18463, []int{1, 1, 2, 2, 4, 18}},
		{"pk", 10418, []int{0, 0, 1, 1, 2, 10}},
		{"order-42", 13194, []int{0, 1, 1, 2, 3, 12}},
		{"device-1", 8119, []int{0, 0, 0, 1, 1, 7}},
		{"Device-1", 8119, []int{0, 0, 0, 1, 1, 7}},
		{"customer/7", 31477, []int{1, 2, 3, 4, 7, 30}},
		{"0123456789ab", 22482, []int{1, 2, 2, 3, 5, 21}},
		{"0123456789abc", 3686, []int{0, 0, 0, 0, 0, 3}},
	}
	for _, row := range rows {
		if got := placeKey([]byte(row.key), logicalCount); got != row.logical {
			t.Errorf("%q: logical partition %d, want %d", row.key, got, row.logical)
		}
		for i, n := range counts {
			if got := placeKey([]byte(row.key), n); got != row.want[i] {
				t.Errorf("%q: partition %d of %d, want %d", row.key, got, n, row.want[i])
			}
		}
	}
}

// TestLookup3 checks the hash apart from the rule around it: the SDKs' own resolver folds the same pair to 16 bits.
func TestLookup3(t *testing.T) {
	t.Parallel()
	rows := map[string]int16{
		"": 0, "a": -16220, "ab": 2093, "abc": -14161, "test": -12036, "alphabet": -23478, "partition-key-1": -17070,
		"hello world": 24431, "0123456789ab": -17054, "0123456789abc": -4167, "0123456789abcdef01234567": -26328,
		"ünïcödé": -539, "日本語": -23353, "7149583486996073602": 12977,
	}
	for key, want := range rows {
		c, b := lookup3([]byte(key))
		if got := int16(c ^ b); got != want {
			t.Errorf("%q: %d, want %d", key, got, want)
		}
	}
}

func TestUpperASCII(t *testing.T) {
	t.Parallel()
	rows := []struct{ name, key, want string }{
		{"empty", "", ""},
		{"letters only", "aZ09{`@[", "AZ09{`@["},
		{"two bytes, one unit", "grün", "GR?N"},
		{"three bytes, one unit", "日本", "??"},
		{"surrogate pair, two units", "x😀y", "X??Y"},
		{"small dotless i stays outside ASCII", "ı", "?"},
		{"long s stays outside ASCII", "ſ", "?"},
		{"not UTF-8", "a\xff\xfeb", "A??B"},
		{"longer than the buffer", strings.Repeat("k", 300), strings.Repeat("K", 300)},
	}
	for _, row := range rows {
		var buf [128]byte
		if got := string(upperASCII(buf[:0], []byte(row.key))); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}

// The labels that public traces show.
func TestBucketLast(t *testing.T) {
	t.Parallel()
	rows := []struct {
		n    int
		want []int
	}{
		{1, []int{32766}},
		{2, []int{16383, 32766}},
		{3, []int{10922, 21844, 32766}},
		{4, []int{8191, 16383, 24575, 32766}},
	}
	for _, row := range rows {
		for i, want := range row.want {
			if got := bucketLast(i, row.n); got != want {
				t.Errorf("partition %d of %d: %d, want %d", i, row.n, got, want)
			}
		}
	}
	if got := bucketLast(3, 32); got != 4095 {
		t.Errorf("partition 3 of 32: %d, want 4095", got)
	}
}

// TestBucketCovers walks all logical partitions: each partition owns one run that ends at its label, and no two widths differ by more
// than one.
func TestBucketCovers(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 5, 7, 32, 100, 1000, 1024, 2000, 32766, 32767} {
		at, width := 0, 0
		for logical := range logicalCount {
			got := bucket(logical, n)
			if got != at {
				t.Fatalf("%d partitions: logical %d lies in %d, want %d", n, logical, got, at)
			}
			width++
			if logical == bucketLast(at, n) {
				if low := logicalCount / n; width != low && width != low+1 {
					t.Fatalf("%d partitions: %d is %d wide", n, at, width)
				}
				at, width = at+1, 0
			}
		}
		if at != n {
			t.Errorf("%d partitions: only %d own something", n, at)
		}
	}
}

func BenchmarkPlace(b *testing.B) {
	key := []byte("customer-4711/order-42")
	b.ReportAllocs()
	for b.Loop() {
		placeKey(key, 32)
	}
}
