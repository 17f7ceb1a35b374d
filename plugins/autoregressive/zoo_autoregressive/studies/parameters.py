"""Parameters against nats: what a better structure is worth, from 784 independent pixels to PixelRNN."""

from zoo_core import Report, Study, list_models, load


class Parameters(Study, kw_only=True):
    data: str = "binarized-mnist"

    def make(self, report: Report) -> None:
        rows = []
        for row in list_models(data=self.data):
            entry = row.metric("nll")
            # Smaller images are other data.
            if entry is None or entry.protocol.split != "test" or entry.protocol.input:
                continue
            parameters = load(row.reference).load_report.parameters
            rows.append([row.reference, parameters, entry.value, entry.stderr])
        rows.sort(key=lambda row: -row[2])
        report.say(f"Every density with weights for {self.data}: its parameters, and its recorded test NLL.")
        with report.picture("parameters", "Fewer nats are better.", size=5) as axes:
            for name, count, nats, _ in rows:
                axes[0, 0].plot(count, nats, "o", label=name.replace(f".{self.data}", ""))
            axes[0, 0].set(xscale="log", xlabel="parameters", ylabel="test NLL, nats/image")
            axes[0, 0].legend()
        report.table(["release", "parameters", "test NLL, nats/image", "standard error"], rows)
