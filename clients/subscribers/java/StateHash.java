import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.*;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/** The state hash at the topics' present end: StateHash KAFKA TOPIC... */
public class StateHash {
  static int count = 0;

  public static void main(String[] arguments) throws Exception {
    Map<String, String> env = System.getenv();
    Map<String, Object> login = Map.of(
        "bootstrap.servers", arguments[0],
        "security.protocol", env.getOrDefault("KAFKA_SECURITY", "SASL_SSL"),
        "sasl.mechanism", "SCRAM-SHA-512",
        "sasl.jaas.config", "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"%s\" password=\"%s\";"
            .formatted(env.get("KAFKA_USER"), env.get("KAFKA_PASSWORD")));
    List<String> topics = List.of(arguments).subList(1, arguments.length);
    try (var consumer = new KafkaConsumer<>(login, new StringDeserializer(), new StringDeserializer())) {
      Map<TopicPartition, Long> ends = new HashMap<>();
      Subscriber.subscribe(consumer, topics, records -> {
        count += records.count();
        if (ends.isEmpty()) ends.putAll(consumer.endOffsets(consumer.assignment()));
        return ends.keySet().stream().anyMatch(place -> consumer.position(place) < ends.get(place));
      });
    }
    List<String> lines = Subscriber.state.values().stream()
        .map(Subscriber.Known::line).filter(Objects::nonNull).sorted().toList();
    byte[] joined = String.join("\n", lines).getBytes(StandardCharsets.UTF_8);
    System.out.println(count + " " + HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(joined)));
  }
}
