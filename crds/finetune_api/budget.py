"""`spec.budget`: limits in money, time and energy over all attempts of a job."""

from typing import Annotated, Literal

from pydantic import Field

from finetune_api.base import ApiModel


class BudgetSpec(ApiModel):
    """Limits over all attempts together; what is absent is not limited."""

    max_cost_usd: Annotated[float, Field(gt=0, le=1e9)] | None = Field(
        default=None, alias="maxCostUSD", description="Highest cost, in US dollars at the catalog's prices."
    )
    max_gpu_hours: Annotated[float, Field(gt=0, le=1e9)] | None = Field(
        default=None, alias="maxGPUHours", description="Most accelerator hours."
    )
    max_duration_hours: Annotated[float, Field(gt=0, le=100_000)] | None = Field(
        default=None, description="Longest time from the first start, in hours."
    )
    max_energy_kwh: Annotated[float, Field(gt=0, le=1e9)] | None = Field(
        default=None, alias="maxEnergyKWh", description="Most energy, in kilowatt-hours."
    )
    max_carbon_kg: Annotated[float, Field(gt=0, le=1e9)] | None = Field(
        default=None, description="Most carbon dioxide, in kilograms."
    )
    on_exceeded: Literal["suspend", "fail"] = Field(
        default="suspend", description="What happens at a limit: save and suspend, or fail."
    )
