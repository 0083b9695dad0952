# shellcheck shell=bash
# Kafka's jars and a Java that runs them. Sourced, not run.

JARS=$CACHE/kafka/$(hash_of "$TESTBED/kafka/pom.xml")

# Java 17 is what this Kafka was tried with; any later one that is the machine's default serves too.
find_java() {
  need_commands java=openjdk-17-jre-headless
  local installed=(/usr/lib/jvm/java-17-*/bin/java)
  JAVA=${installed[0]}
  [ -x "$JAVA" ] || JAVA=$(command -v java)
}

fetch_jars() {
  (
    # Two parts may want them at the same time, and so may another checkout.
    exec 8>"$CACHE/locks/kafka" 9>&-
    flock 8
    [ ! -d "$JARS" ] || exit 0
    need_commands mvn=maven
    say "fetching Kafka's jars"
    rm -rf "$JARS.part" "$CACHE/kafka/maven"
    (cd "$TESTBED/kafka" && nice mvn -q -B -Dstyle.color=never -Dmaven.repo.local="$CACHE/kafka/maven" \
      dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$JARS.part") >&2
    rm -rf "$CACHE/kafka/maven"
    mv "$JARS.part" "$JARS"
  )
}
