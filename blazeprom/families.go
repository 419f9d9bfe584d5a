package blazeprom

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/activeblaze/blaze"
)

// family is one metric of Prometheus that comes from numbers of Stats. Its help is that of its first number.
type family struct {
	name   string // without "blaze_"
	labels []string
	of     []source
}

// source is one number of Stats, or all whose name begins so, with a value for each label of its family.
type source struct {
	metric string   // as blaze.Metric has it; ending in ".*": all below it, those that are zero aside
	values []string // "*" is what stands in the star's place
}

func plain(name, metric string) family { return family{name, nil, []source{{metric, nil}}} }

func by(name string, labels []string, of ...source) family { return family{name, labels, of} }

func of(metric string, values ...string) source { return source{metric, values} }

var protocol = []string{"protocol"}

// families are all of them. The protocol "nack" is BestEffort, NACK, FEC and Hybrid together, as in Stats.
var families = []family{
	by("messages_sent_total", protocol, of("nack.messages", "nack"), of("totem.messages", "totem")),
	by("message_sent_bytes_total", protocol, of("nack.message_bytes", "nack"), of("totem.message_bytes", "totem")),
	by("messages_delivered_total", protocol, of("nack.delivered", "nack"), of("totem.delivered", "totem")),
	by("message_delivered_bytes_total", protocol, of("nack.delivered_bytes", "nack"), of("totem.delivered_bytes", "totem")),
	by("messages_lost_total", []string{"reason"}, of("nack.lost", "not_repaired"), of("totem.lost", "ring"), of("slow_dropped", "slow_consumer")),
	by("messages_refused_total", protocol, of("nack.back_pressure", "nack"), of("totem.back_pressure", "totem")),
	by("datagrams_sent_total", protocol, of("nack.datagrams", "nack"), of("totem.datagrams", "totem")),
	by("datagrams_received_total", protocol, of("nack.data_received", "nack"), of("totem.data_received", "totem")),
	plain("datagrams_missed_total", "nack.missed"),
	by("datagrams_repaired_total", []string{"by"}, of("nack.repaired", "nak"), of("nack.rebuilt", "fec")),
	plain("datagrams_gone_total", "nack.gone"),
	by("datagrams_dropped_total", []string{"layer", "reason"}, of("engine.drops.*", "engine", "*"), of("nack.drops.*", "nack", "*"),
		of("totem.drops.*", "totem", "*"), of("group.drops.*", "group", "*")),
	plain("naks_sent_total", "nack.naks_sent"),
	plain("naks_received_total", "nack.naks_received"),
	plain("naks_suppressed_total", "nack.naks_suppressed"),
	by("repairs_sent_total", []string{"cast"}, of("nack.repairs_multicast", "multicast"), of("nack.repairs_unicast", "unicast")),
	plain("parity_bytes_total", "nack.parity_bytes"),
	by("kernel_drops_total", []string{"layer"}, of("udp.kernel_drops", "udp"), of("xdp.kernel_dropped", "xdp")),
	plain("receivers", "nack.receivers"),
	plain("evictions_total", "nack.evictions"),
	plain("slow_receivers_total", "slow_receivers"),
	plain("slow_consumers_total", "slow_consumers"),
	plain("totem_rotation_seconds", "totem.rotation_ns"),
	plain("totem_members", "totem.members"),
	by("totem_views_total", []string{"reason"}, of("totem.reasons.*", "*")),
	plain("members", "group.members"),
	plain("member_failures_total", "group.removed"),
	by("cluster_operations_total", []string{"outcome"}, of("cluster.applied", "applied"), of("cluster.unknown", "unknown"), of("cluster.no_quorum", "no_quorum")),
	plain("cluster_entries", "cluster.entries"),
	plain("cluster_bytes", "cluster.bytes"),
	plain("locks_held", "cluster.locks"),
	plain("locks_waiting", "cluster.waits"),
	plain("primary", "cluster.primary"),
	plain("cluster_sync_seconds", "cluster.sync_ns"),
}

// described is a family with its descriptor.
type described struct {
	family
	desc *prometheus.Desc
	kind prometheus.ValueType
	unit float64 // by which numbers of Stats are multiplied
}

// describe makes the descriptors. A name that Stats does not have panics: it is a fault of this package, which its tests
// find.
func describe(labels prometheus.Labels) (all []described) {
	metrics := blaze.Metrics()
	for _, f := range families {
		first := f.of[0].metric
		prefix, many := strings.CutSuffix(first, "*")
		i := 0
		for i < len(metrics) && metrics[i].Name != first && !(many && strings.HasPrefix(metrics[i].Name, prefix)) {
			i++
		}
		if i == len(metrics) {
			panic("blazeprom: Stats has no " + first)
		}
		d := described{family: f, kind: prometheus.GaugeValue, unit: 1}
		d.desc = prometheus.NewDesc("blaze_"+f.name, sentence(metrics[i].Help), f.labels, labels)
		if metrics[i].Kind == "counter" {
			d.kind = prometheus.CounterValue
		}
		if metrics[i].Unit == "ns" {
			d.unit = 1e-9
		}
		all = append(all, d)
	}
	return all
}

// sentence is a help of Stats as Prometheus shows it: some of them name the reasons, too.
func sentence(help string) string {
	if help == "" {
		return help
	}
	return strings.ToUpper(help[:1]) + help[1:] + "."
}

// collect sends the families' series. layers are the first elements of names that this channel has.
func collect(all []described, s blaze.Stats, has func(layer string) bool, send func(prometheus.Metric)) {
	values := map[string]float64{}
	var names []string
	for m, v := range s.All() {
		values[m.Name] = v
		names = append(names, m.Name)
	}
	for _, d := range all {
		for _, from := range d.of {
			layer, _, nested := strings.Cut(from.metric, ".")
			if nested && !has(layer) {
				continue
			}
			prefix, many := strings.CutSuffix(from.metric, "*")
			if !many {
				send(prometheus.MustNewConstMetric(d.desc, d.kind, values[from.metric]*d.unit, from.values...))
				continue
			}
			for _, name := range names {
				reason, ok := strings.CutPrefix(name, prefix)
				if !ok || values[name] == 0 {
					continue
				}
				labels := make([]string, len(from.values))
				for i, v := range from.values {
					labels[i] = strings.Replace(v, "*", reason, 1)
				}
				send(prometheus.MustNewConstMetric(d.desc, d.kind, values[name]*d.unit, labels...))
			}
		}
	}
}
