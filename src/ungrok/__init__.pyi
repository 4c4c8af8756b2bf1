"""Written by ``python -m ungrok._exports``."""

from ungrok.api import audit as audit
from ungrok.core.causal_lm import CausalLM as CausalLM
from ungrok.core.errors import UnlearningWarning as UnlearningWarning
from ungrok.core.objective import Classification as Classification
from ungrok.evaluate.audit import Audit as Audit
from ungrok.methods.alt_po import AltPO as AltPO
from ungrok.methods.amnesiac import Amnesiac as Amnesiac
from ungrok.methods.bad_teacher import BadTeacher as BadTeacher
from ungrok.methods.base import Unlearner as Unlearner
from ungrok.methods.boundary_expand import BoundaryExpand as BoundaryExpand
from ungrok.methods.boundary_shrink import BoundaryShrink as BoundaryShrink
from ungrok.methods.catastrophic_forgetting_k import CatastrophicForgettingK as CatastrophicForgettingK
from ungrok.methods.ce_u import CEU as CEU
from ungrok.methods.delete import DELETE as DELETE
from ungrok.methods.exact_unlearning_k import ExactUnlearningK as ExactUnlearningK
from ungrok.methods.finetune import Finetune as Finetune
from ungrok.methods.fisher import Fisher as Fisher
from ungrok.methods.gradient_ascent import GradientAscent as GradientAscent
from ungrok.methods.gradient_difference import GradientDifference as GradientDifference
from ungrok.methods.idk_dpo import IdkDPO as IdkDPO
from ungrok.methods.influence import Influence as Influence
from ungrok.methods.jit import JiT as JiT
from ungrok.methods.kl_minimization import KLMinimization as KLMinimization
from ungrok.methods.l1_sparse import L1Sparse as L1Sparse
from ungrok.methods.munba import MUNBA as MUNBA
from ungrok.methods.nabla_tau import NablaTau as NablaTau
from ungrok.methods.neggrad_plus import NegGradPlus as NegGradPlus
from ungrok.methods.npo import NPO as NPO
from ungrok.methods.path import Step as Step
from ungrok.methods.preference_optimization import PreferenceOptimization as PreferenceOptimization
from ungrok.methods.random_label import RandomLabel as RandomLabel
from ungrok.methods.retrain import Retrain as Retrain
from ungrok.methods.rmu import RMU as RMU
from ungrok.methods.run import unlearn as unlearn
from ungrok.methods.run import unlearning_path as unlearning_path
from ungrok.methods.salun import SalUn as SalUn
from ungrok.methods.sat_imp import SatImp as SatImp
from ungrok.methods.scrub import SCRUB as SCRUB
from ungrok.methods.simnpo import SimNPO as SimNPO
from ungrok.methods.ssd import SSD as SSD
from ungrok.methods.task_vector import TaskVector as TaskVector
from ungrok.methods.undial import UNDIAL as UNDIAL
from ungrok.methods.unsir import UNSIR as UNSIR
from ungrok.methods.wga import WGA as WGA

__version__: str
