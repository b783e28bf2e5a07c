package livestream.twin;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import jakarta.annotation.PostConstruct;
import jakarta.annotation.PreDestroy;
import jakarta.enterprise.context.ApplicationScoped;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * Twenty simulated validators that move every 5 s: beside it read livestream/services/validators.py.
 *
 * Quarkus makes the one object at its first use, so that is when it starts. `synchronized` guards all of it.
 */
@ApplicationScoped
public class LiveValidatorsService {

    private static final List<String> NAMES = List.of(
            "Aurigraph Prime", "Sentinel Alpha", "Guardian Beta", "Nexus Gamma", "Forge Delta",
            "Vault Epsilon", "Core Zeta", "Shield Eta", "Matrix Theta", "Quantum Iota",
            "Crystal Kappa", "Phoenix Lambda", "Titan Mu", "Nova Nu", "Zenith Xi",
            "Omega Pi", "Stellar Rho", "Eclipse Sigma", "Horizon Tau", "Infinity Upsilon");
    private static final BigDecimal WHOLE_STAKE = BigDecimal.valueOf(20_000_000);

    private final Random random = new Random();
    private final List<Validator> validators = new ArrayList<>();
    private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("validators").factory());
    private long blockHeight = 1_500_000;

    @PostConstruct
    void start() {
        for (int i = 0; i < NAMES.size(); i++) {
            validators.add(new Validator(i));
        }
        update();
        clock.scheduleAtFixedRate(this::update, 5, 5, TimeUnit.SECONDS);
    }

    @PreDestroy
    void stop() {
        clock.shutdown();
    }

    /** The body of GET /api/v11/live/validators: all by falling voting power, totals, height, now. */
    public synchronized ObjectNode getLiveValidatorStatus() {
        ObjectNode status = object();
        ArrayNode shown = status.putArray("validators");
        validators.stream()
                .sorted(Comparator.comparingDouble(Validator::votingPower).reversed())
                .forEach(validator -> shown.add(validator.toJson()));
        status.setAll(totals());
        return status
                .put("networkBlockHeight", blockHeight)
                .put("totalNetworkStake", validators.stream().mapToLong(validator -> validator.stake).sum())
                .put("timestamp", Instant.now().toString());
    }

    /** The body of GET /api/v11/live/validators/{id}, if there is such a validator. */
    public synchronized Optional<ObjectNode> getValidatorById(String id) {
        return validators.stream().filter(validator -> validator.id.equals(id)).findFirst().map(Validator::toJson);
    }

    /** The body of GET /api/v11/live/validators/health. */
    public synchronized ObjectNode health() {
        return object()
                .put("status", "UP")
                .put("message", "Live validator monitoring operational")
                .put("totalValidators", validators.size())
                .put("activeValidators", count("ACTIVE"))
                .put("networkBlockHeight", blockHeight);
    }

    /** The payload of a `validator_update`. */
    public synchronized ObjectNode totals() {
        return object()
                .put("totalValidators", validators.size())
                .put("activeValidators", count("ACTIVE"))
                .put("inactiveValidators", count("INACTIVE"))
                .put("jailedValidators", count("JAILED"));
    }

    /** One block more, and every ACTIVE validator moves. */
    private synchronized void update() {
        blockHeight++;
        validators.stream().filter(validator -> validator.status.equals("ACTIVE")).forEach(Validator::move);
    }

    private long count(String status) {
        return validators.stream().filter(validator -> validator.status.equals(status)).count();
    }

    private static ObjectNode object() {
        return JsonNodeFactory.instance.objectNode();
    }

    /** Rounds the digits that the double prints, so 1.005 becomes 1.01. */
    private static double round(double value) {
        return BigDecimal.valueOf(value).setScale(2, RoundingMode.HALF_UP).doubleValue();
    }

    /** One validator: percentages in 0…100, stake in whole tokens. */
    private class Validator {

        final String id;
        final String publicKey;
        final String name;
        final String status;
        final Instant registeredAt;
        double uptime = 85 + random.nextDouble() * 14.99;
        long blocksProduced;
        long missedBlocks;
        long stake;
        /** Kept in milliseconds, so it is shown with three decimals and `registeredAt` with nine. */
        long lastBlockMs;

        Validator(int index) {
            id = "validator_%03d".formatted(index);
            // 64 digits of a random number that has 16: mostly zeros, as in the original.
            publicKey = "0x%064x%016x".formatted(random.nextLong() & Long.MAX_VALUE, index);
            name = NAMES.get(index);
            status = index < 15 ? "ACTIVE" : index < 18 ? "INACTIVE" : "JAILED";
            registeredAt = Instant.now().minus(30 + index, ChronoUnit.DAYS);
            blocksProduced = 45_000 + 2_500 * index;
            missedBlocks = status.equals("ACTIVE") ? random.nextInt(50) : 500 + random.nextInt(1_000);
            stake = 1_000_000 - 25_000 * index;
            lastBlockMs = System.currentTimeMillis() - 5_000 * index;
        }

        void move() {
            if (random.nextDouble() < 0.20) {
                blocksProduced++;
                lastBlockMs = System.currentTimeMillis();
            } else if (random.nextDouble() < 0.05) {
                missedBlocks++;
            }
            uptime = Math.clamp(uptime + random.nextDouble(-0.01, 0.01), 80, 100);
            if (random.nextDouble() < 0.1) {
                stake = Math.max(0, stake + random.nextInt(-5_000, 5_000));
            }
        }

        double votingPower() {
            BigDecimal share = BigDecimal.valueOf(stake).divide(WHOLE_STAKE, 4, RoundingMode.HALF_UP);
            return share.movePointRight(2).doubleValue();
        }

        double performance() {
            double produced = (double) blocksProduced / (blocksProduced + missedBlocks);
            return Math.clamp(0.6 * uptime + 0.4 * 100 * produced, 0, 100);
        }

        ObjectNode toJson() {
            return object()
                    .put("validatorId", id)
                    .put("publicKey", publicKey)
                    .put("name", name)
                    .put("status", status)
                    .put("uptime", round(uptime))
                    .put("blocksProduced", blocksProduced)
                    .put("missedBlocks", missedBlocks)
                    .put("stake", stake)
                    .put("votingPower", votingPower())
                    .put("lastBlockTime", Instant.ofEpochMilli(lastBlockMs).toString())
                    .put("performance", round(performance()))
                    .put("registeredAt", registeredAt.toString());
        }
    }
}
